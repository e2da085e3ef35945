/// Why something cannot be done: a closed set. Each has a code, under which the console has its text
/// in every language, and a text in English for the log and the command line; both have the same
/// values in them.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $({ $($field:ident),+ })? = $code:literal: $text:tt),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub enum $name { $($(#[$doc])* #[error($text)] $variant $({ $($field: Box<str>),+ })?),+ }
        impl $name {
            /// Every code, with the names of the values in its text.
            pub const ALL: &'static [(&'static str, &'static [&'static str])] = &[$(($code, &[$($(stringify!($field)),+)?])),+];
            /// What its texts are found under.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant $({ $($field: _),+ })? => $code),+ }
            }
            /// The values in its text, by name.
            #[must_use]
            pub fn values(&self) -> Vec<(&'static str, &str)> {
                match self { $(Self::$variant $({ $($field),+ })? => vec![$($((stringify!($field), &**$field)),+)?]),+ }
            }
        }
    };
}
pub(crate) use reasons;
