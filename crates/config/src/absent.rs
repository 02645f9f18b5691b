//! Stands in for a kind of plug-in that this program is built without: any configuration of it says which feature is
//! missing.

/// Makes the module of a plug-in whose feature is off: `absent! { amqp builds dyn Transport: "the transport `amqp`", "amqp" }`.
#[macro_export]
macro_rules! absent {
    ($module:ident builds dyn $built:path: $what:literal, $feature:literal) => {
        pub mod $module {
            //! Built without this; see the features of `quash-dispatch`.

            use std::sync::Arc;

            use $crate::{ConfigPath, Problem};

            /// Any values: nobody here can read them.
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct Config(());

            impl Config {
                /// Says which feature is missing.
                ///
                /// # Errors
                /// Always.
                pub fn build(&self) -> Result<Arc<dyn $built>, Problem> {
                    let message = concat!("this program is built without ", $what);
                    let help = concat!("enable the feature `", $feature, "` of quash-dispatch");
                    Err(Problem::error(ConfigPath::root(), message).help(help))
                }
            }

            impl<'de> serde::Deserialize<'de> for Config {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(()))
                }
            }

            #[cfg(feature = "schema")]
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

#[cfg(test)]
#[expect(unreachable_pub, reason = "elsewhere the macro makes a module that everybody sees")]
mod tests {
    absent! { gone builds dyn std::fmt::Debug: "the transport `gone`", "gone" }

    #[test]
    fn what_is_not_built_in_is_named_with_its_feature() {
        let values = serde_json::json!({ "url": "gone://user:secret@host", "any": [1] });
        let config: gone::Config = serde_json::from_value(values).unwrap();
        let problem = config.build().err().unwrap();
        assert_eq!(problem.message, "this program is built without the transport `gone`");
        assert_eq!(problem.help.unwrap(), "enable the feature `gone` of quash-dispatch");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
