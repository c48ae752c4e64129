//! One way for drivers to declare what they count.

/// Declares the struct `Counters` of `u64` counters with `fields()`, which names each of them with its value.
///
/// ```
/// synchrotron_transport::counters! {
///     /// Bursts taken for sending.
///     bursts_sent,
/// }
/// let counters = Counters { bursts_sent: 3 };
/// assert_eq!(counters.fields().collect::<Vec<_>>(), [("bursts_sent", 3)]);
/// ```
#[macro_export]
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened so far. All only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Names and values, for status and metrics.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}
