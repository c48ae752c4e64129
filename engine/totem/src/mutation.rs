//! Deliberate bugs, one at a time, that show whether a checker notices. Only with the feature
//! `mutations`; without it every question is answered `false` by the compiler.

/// A deliberate bug.
#[cfg_attr(not(feature = "mutations"), allow(unreachable_pub, reason = "public with it"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A safe frame is delivered after one rotation instead of two.
    SkipStableCheck,
    /// Safe frames are delivered like agreed ones.
    SafeAsAgreed,
    /// What one member has counts as known to be everywhere.
    AskOne,
    /// A gap is stepped over when later frames are here.
    DeliverGap,
    /// A node does not deliver every eighth frame of its own.
    NoSelfDelivery,
    /// Requests for retransmission are taken from the token and not answered.
    ForgetRetransmit,
    /// Every eighth frame is delivered twice.
    DuplicateDeliver,
    /// Recovered frames past the old ring's first gap are delivered only where the number is even
    /// at nodes with an even number.
    DeliverDifferentRecovered,
    /// The next ring gets the number of the last one.
    ReuseRingSeq,
    /// The group layer's: joins do not wait for messages that have begun.
    #[cfg_attr(not(feature = "mutations"), allow(dead_code, reason = "not a bug of the ring"))]
    JoinAtOnce,
    /// A new ring does not wait for the leases of those it leaves out.
    OweNothing,
    /// A node acts for its ring however long it has not heard of the others.
    EndlessLease,
    /// The group layer's: a change of the configuration is committed by a message that is not safe.
    #[cfg_attr(not(feature = "mutations"), allow(dead_code, reason = "not a bug of the ring"))]
    CommitUnsafe,
    /// The group layer's: nodes with an even number take a change over at the last answer.
    #[cfg_attr(not(feature = "mutations"), allow(dead_code, reason = "not a bug of the ring"))]
    CommitEarly,
    /// Rings are formed without looking at configurations.
    MixConfigurations,
}
