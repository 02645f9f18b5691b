//! Reads the name of an event format on the command line.

use quash_core::event::Format;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// A format by the name that configuration gives it.
pub(super) fn format(name: &str) -> Result<Format, String> {
    Format::deserialize(StrDeserializer::<ValueError>::new(name)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_named_as_in_configuration() {
        for known in Format::ALL {
            assert_eq!(format(known.name()), Ok(known));
        }
        assert!(format("xml").unwrap_err().contains("debezium"), "an unknown name lists the known ones");
    }
}
