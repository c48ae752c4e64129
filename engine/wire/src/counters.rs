//! One way to declare counters, so that status and metrics can list them by name.

/// Declares a struct of `u64` counters with `fields()`, which names each of them with its value.
///
/// ```
/// synchrotron_wire::counters! {
///     /// What happened here.
///     pub struct Counters {
///         /// Frames seen.
///         pub frames: u64,
///     }
/// }
/// let counters = Counters { frames: 3 };
/// assert_eq!(counters.fields().collect::<Vec<_>>(), [("frames", 3)]);
/// ```
#[macro_export]
macro_rules! counters {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: u64,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: u64,)* }

        impl $name {
            /// Every counter with its name, in the order of declaration.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
}
