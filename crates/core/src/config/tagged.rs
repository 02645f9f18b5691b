//! Reads a value that is of one kind of plug-in and has options of its own beside it.

use super::plugins::Kind;

/// One kind (`redis: {…}`) with the options that all kinds share beside it, in one mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged<K, O> {
    /// Which plug-in, with its own values.
    pub kind: K,
    /// What all kinds share.
    pub options: O,
}

impl<'de, K: Kind, O: serde::de::DeserializeOwned> serde::Deserialize<'de> for Tagged<K, O> {
    fn deserialize<D: serde::Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("not built yet"))
    }
}

impl<K: Kind, O: schemars::JsonSchema> schemars::JsonSchema for Tagged<K, O> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tagged".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({})
    }
}
