//! What a machine counts.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the start.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Counters { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// Every counter with its name.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Frames numbered by this node.
    frames_sent,
    /// Payload bytes numbered by this node.
    payload_bytes_sent,
    /// New frames of others received.
    frames_received,
    /// Frames received that were here already.
    frames_duplicate,
    /// Frames dropped because they lie past the window.
    frames_beyond_window,
    /// Frames of a ring that is neither installed nor being formed.
    frames_foreign,
    /// Frames delivered.
    frames_delivered,
    /// Frames sent again because the token asked.
    retransmissions,
    /// Frames sent again because a receiver asked directly, or named them in its answer to a beacon.
    repairs_sent,
    /// Direct requests sent.
    repairs_asked,
    /// Visits of the token.
    token_visits,
    /// Full rotations measured here.
    token_rotations,
    /// Nanoseconds of all measured rotations together.
    token_rotation_ns,
    /// Tokens sent again because the successor showed no progress.
    token_retransmits,
    /// Tokens ignored: old visit.
    tokens_old,
    /// Tokens ignored: other ring, or impossible contents.
    tokens_refused,
    /// Visits out of turn.
    detours,
    /// Times the token came to rest here.
    rests,
    /// Beacons sent.
    beacons_sent,
    /// Answers to beacons sent.
    answers_sent,
    /// Beacons sent to one member that did not answer the last one.
    beacons_again,
    /// Wishes for a resting token sent.
    wants_sent,
    /// Wishes for a sign of life of its holder sent.
    signs_wanted,
    /// Wishes sent that it go round, because the timeout is too short.
    rotations_wanted,
    /// Joins sent.
    joins_sent,
    /// Joins received.
    joins_received,
    /// Joins and probes ignored because they carry nothing new or their sender is shut out for a
    /// while.
    joins_ignored,
    /// Commit tokens received.
    commits_received,
    /// Probes sent.
    probes_sent,
    /// Regular configurations installed.
    configurations,
    /// Entries to Gather: the token was lost.
    gathers_token_loss,
    /// Entries to Gather: a Join of somebody else.
    gathers_join,
    /// Entries to Gather: another ring was seen.
    gathers_merge,
    /// Entries to Gather: a process was confirmed dead.
    gathers_dead,
    /// Entries to Gather: a member left.
    gathers_leave,
    /// Entries to Gather: a member did not answer beacons.
    gathers_unanswered,
    /// Entries to Gather: a member received nothing for too long.
    gathers_not_receiving,
    /// Entries to Gather: forming a ring failed.
    gathers_formation,
    /// Entries to Gather: this node took over a configuration that others may not have.
    gathers_reload,
    /// Frames of rings with a newer configuration.
    newer_configurations,
    /// Old frames sent again in Recovery.
    recovered_sent,
    /// Old frames received in Recovery.
    recovered_received,
    /// Old frames that nobody who came along could deliver.
    old_frames_lost,
    /// Times this node itself did not run for a while.
    own_pauses,
    /// Nanoseconds of those pauses.
    own_pause_ns,
    /// Hints that a peer's process is gone.
    unreachable_hints,
    /// Peers refused.
    refused,
    /// Refusals received.
    refused_by_peers,
    /// Frames with impossible contents.
    malformed,
    /// Frames not sent because no slot was free.
    pool_empty,
}
