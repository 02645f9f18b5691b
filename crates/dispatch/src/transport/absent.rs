//! Stands in for a transport that this program is built without: any configuration of it says which feature is missing.

/// Makes the module of a transport whose feature is off.
macro_rules! absent {
    ($module:ident, $feature:literal) => {
        pub mod $module {
            //! Built without this transport; see the features of `quash-dispatch`.

            use std::sync::Arc;

            use quash_core::config::{ConfigPath, Problem};

            /// Any values: nobody here can read them.
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct Config(());

            impl Config {
                /// Says which feature is missing.
                ///
                /// # Errors
                /// Always.
                pub fn build(&self) -> Result<Arc<dyn crate::transport::Transport>, Problem> {
                    let message = concat!("this program is built without the transport `", $feature, "`");
                    let help = concat!("enable the feature `", $feature, "` of quash-dispatch");
                    Err(Problem::error(ConfigPath::root(), message).help(help))
                }
            }

            impl<'de> serde::Deserialize<'de> for Config {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(()))
                }
            }

            impl schemars::JsonSchema for Config {
                fn schema_name() -> std::borrow::Cow<'static, str> {
                    concat!("absent_", $feature).into()
                }

                fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                    schemars::json_schema!(true)
                }
            }
        }
    };
}

#[cfg(not(all(feature = "amqp", feature = "nats", feature = "redis_streams")))]
pub(super) use absent;

#[cfg(all(test, not(feature = "amqp")))]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_transport_that_is_not_built_in_is_named_with_its_feature() {
        let yaml = "version: 1\nsources: { events: { amqp: { url: 'amqp://u:secret@h', nonsense: 1 } } }\n";
        let said = Config::parse(yaml).unwrap_err().to_string();
        assert!(said.contains("enable the feature `amqp` of quash-dispatch"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}
