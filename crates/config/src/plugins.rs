//! Makes the visible list of a kind of plug-in into the enum that configuration names them by.

use crate::Schema;

/// Declares the plug-ins of a kind: one line each, `key in YAML: Variant(configuration type)`.
///
/// The result is an externally tagged enum (`redis: {…}`) with its keys in `KINDS`, and `build`, which calls the
/// configuration type's own `build`. Values are boxed: kinds differ much in size.
#[macro_export]
macro_rules! plugins {
    (
        $(#[$doc:meta])*
        $name:ident builds dyn $built:path { $( $(#[$kind_doc:meta])* $key:literal: $variant:ident($config:ty) ),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name {
            $( $(#[$kind_doc])* #[serde(rename = $key)] $variant(Box<$config>) ),+
        }

        impl $crate::Kind for $name {
            const KINDS: &'static [&'static str] = &[$($key),+];
        }

        impl $name {
            /// The kind's key in configuration.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$variant(_) => $key ),+ }
            }

            /// Makes the plug-in as configured. Connects to nothing yet.
            ///
            /// # Errors
            /// When the values do not fit together, as a problem relative to the kind's own value.
            pub fn build(&self) -> Result<std::sync::Arc<dyn $built>, $crate::Problem> {
                match self { $( Self::$variant(config) => config.build().map(|built| built as std::sync::Arc<dyn $built>) ),+ }
            }
        }
    };
}

/// An enum of plug-ins whose variants are told apart by their key.
pub trait Kind: serde::de::DeserializeOwned + Schema {
    /// The keys, in the order of the list.
    const KINDS: &'static [&'static str];
}
