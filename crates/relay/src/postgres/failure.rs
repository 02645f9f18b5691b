//! Says what became of a conversation with PostgreSQL, and which of its errors pass by themselves.

use std::error::Error as _;
use std::io;

use crate::error::RelayError;

/// Why a conversation came to no good end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// There is nobody at the other end, or nobody any more.
    Gone(String),
    /// The server's own words.
    Said(Said),
    /// Something that stays until somebody changes it.
    Wrong(String),
}

/// An error of the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Said {
    pub(super) code: String,
    pub(super) message: String,
}

impl Said {
    /// Reads the fields of an error.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut said = Self::default();
        for field in body.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
            let text = || String::from_utf8_lossy(&field[1..]).into_owned();
            match field[0] {
                b'C' => said.code = text(),
                b'M' => said.message = text(),
                _ => {}
            }
        }
        said
    }
}

/// The slot is in use by somebody else.
const IN_USE: &str = "55006";
/// What passes, by how the code begins: the server stops, starts or recovers, has no room for another connection, or is cut off; it
/// ended a transaction that waited for too long, or that another one was in the way of.
const PASSES: [&str; 9] = ["57P01", "57P02", "57P03", "57P05", "53300", "57014", "08", "25P03", "40"];

impl Failure {
    pub(crate) fn silence() -> Self {
        Self::Gone("it stopped answering".to_owned())
    }

    /// Something that PostgreSQL does not say.
    pub(super) fn odd(what: &str) -> Self {
        Self::Gone(format!("it answered with {what}: is this PostgreSQL?"))
    }

    /// A certificate that is not good enough stays so.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        let words = error.to_string();
        let help = if words.contains("CaUsedAsEndEntity") {
            "; it is that of an authority and not of a server: make it with basicConstraints=CA:FALSE, or sign another with it"
        } else {
            ""
        };
        match words.contains("certificate") {
            true => Self::Wrong(format!("its certificate is not trusted: {words}{help}")),
            false => Self::Gone(words),
        }
    }

    /// The code of the server's error; empty where it said none.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Said(said) => &said.code,
            Self::Gone(_) | Self::Wrong(_) => "",
        }
    }

    /// What it means for the relay.
    pub(crate) fn into_error(self) -> RelayError {
        let help = help(self.code());
        self.helped(help)
    }

    /// The same, with this said behind the server's own words.
    pub(crate) fn helped(self, help: &str) -> RelayError {
        match self {
            Self::Gone(words) => RelayError::Unreachable(words),
            Self::Wrong(words) => RelayError::Refused(words),
            Self::Said(Said { code, message }) if code == IN_USE => RelayError::Taken(message),
            Self::Said(Said { code, message }) => {
                let words = format!("{message} ({code}){help}");
                match PASSES.iter().any(|passes| code.starts_with(passes)) {
                    true => RelayError::Unreachable(words),
                    false => RelayError::Refused(words),
                }
            }
        }
    }
}

/// What somebody can do about it.
fn help(code: &str) -> &'static str {
    match code {
        "42501" => "; `quash check --connect` prints the SQL for the rights that are missing",
        "55000" => {
            "; what the log no longer has is lost to the slot: drop it (select pg_drop_replication_slot), start the relay, which \
             makes a new one, and empty the caches"
        }
        "42704" => {
            "; a publication must be there before its slot is: drop the slot (select pg_drop_replication_slot), start the relay, \
             which makes a new one, and empty the caches"
        }
        _ => "",
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match (error.as_db_error(), error.source()) {
            (Some(said), _) => {
                Self::Said(Said { code: said.code().code().to_owned(), message: said.message().to_owned() })
            }
            (None, Some(cause)) => {
                let words = format!("{error}: {cause}");
                if words.contains("certificate") { Self::Wrong(words) } else { Self::Gone(words) }
            }
            (None, None) => Self::Gone(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_their_code() {
        let said = |code: &str| Failure::Said(Said { code: code.to_owned(), message: "no".to_owned() }).into_error();
        for passes in ["57P01", "57P03", "53300", "08006", "25P03", "40P01"] {
            assert!(matches!(said(passes), RelayError::Unreachable(_)), "{passes}");
        }
        for stays in ["28P01", "28000", "42704", "42501", "55000", "3D000"] {
            assert!(matches!(said(stays), RelayError::Refused(_)), "{stays}");
        }
        assert!(matches!(said("55006"), RelayError::Taken(_)));
    }

    #[test]
    fn the_fields_of_an_error_are_read_whatever_they_are() {
        let said = Said::read(b"SFATAL\0C57P01\0Mterminating\0\0");
        assert_eq!(said, Said { code: "57P01".to_owned(), message: "terminating".to_owned() });
        assert_eq!(Said::read(b"\0\0C"), Said::default());
    }
}
