//! Reads the URL of a database: where it is, and what is asked of its certificate. Says nothing of the URL in its errors.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use quash_config::Secret;
use tokio_postgres::config::{Host, SslMode};

use super::tls::{Roots, Tls, Verify};

/// How long a connection may take to be made, where the URL does not say.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// What a machine that is gone is noticed by, where the URL does not say.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// What PostgreSQL's own clients understand and so does this one.
const OPTIONS: [&str; 14] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Why a URL is none of a database. Says nothing of what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

/// Where a database is.
#[derive(Clone)]
pub struct Address {
    /// What the driver is given.
    pub config: tokio_postgres::Config,
    /// How connections are encrypted.
    pub tls: Tls,
}

impl Address {
    /// Reads a URL. The database's operators see the program's name where the URL gives none.
    ///
    /// # Errors
    /// When it is none, or names files that cannot be read.
    pub fn parse(url: &Secret, program: &str) -> Result<Self, AddressError> {
        let (location, options) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
        if !["postgres://", "postgresql://"].iter().any(|scheme| location.starts_with(scheme)) {
            return Err(wrong("it does not begin with postgres://"));
        }
        if location.matches('@').count() > 1 {
            return Err(wrong("it has several `@`: write those of the user and the password as %40"));
        }
        let (ssl, others) = sort(options)?;
        let mut config = tokio_postgres::Config::from_str(&format!("{location}?{}", others.join("&")))
            .map_err(|_| wrong("its parts cannot be told from each other"))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("it names no host"));
        }
        let (mode, verify) = ssl.agreed()?;
        // As for every client of PostgreSQL: nobody listens to what does not leave the machine.
        let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(if local { SslMode::Disable } else { mode });
        default(&mut config, &others, program);
        let tls = Tls::new(verify, &ssl.roots).map_err(AddressError)?;
        Ok(Self { config, tls })
    }
}

fn default(config: &mut tokio_postgres::Config, given: &[&str], program: &str) {
    let is_given = |option: &str| given.iter().any(|one| one.starts_with(&format!("{option}=")));
    if !is_given("connect_timeout") {
        config.connect_timeout(CONNECT_LIMIT);
    }
    if !is_given("keepalives_idle") {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if !is_given("application_name") {
        config.application_name(program);
    }
}

/// What a URL says about encryption.
#[derive(Default)]
struct Ssl {
    mode: Option<Mode>,
    roots: Roots,
}

#[derive(Clone, Copy)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Ssl {
    /// The same as PostgreSQL's own clients make of it.
    fn agreed(&self) -> Result<(SslMode, Verify), AddressError> {
        let named = matches!(self.roots, Roots::File(_));
        match (self.mode.unwrap_or(Mode::Prefer), &self.roots) {
            (Mode::VerifyFull, _) => Ok((SslMode::Require, Verify::ChainAndName)),
            (_, Roots::System { asked: true }) => Err(wrong("sslrootcert=system needs sslmode=verify-full")),
            (Mode::Disable, _) => Ok((SslMode::Disable, Verify::Nothing)),
            (Mode::Prefer, _) => Ok((SslMode::Prefer, Verify::Nothing)),
            (Mode::Require, _) if !named => Ok((SslMode::Require, Verify::Nothing)),
            (Mode::Require | Mode::VerifyCa, _) => Ok((SslMode::Require, Verify::Chain)),
        }
    }
}

/// Takes out what the driver does not know.
fn sort(options: &str) -> Result<(Ssl, Vec<&str>), AddressError> {
    let (mut ssl, mut others) = (Ssl::default(), Vec::new());
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("sslmode", mode)) => ssl.mode = Some(sslmode(mode)?),
            Some(("sslrootcert", "system")) => ssl.roots = Roots::System { asked: true },
            Some(("sslrootcert", file)) => ssl.roots = Roots::File(decoded(file)?),
            Some((known, _)) if OPTIONS.contains(&known) => others.push(option),
            _ => {
                let known = OPTIONS.join(", ");
                return Err(wrong(&format!("it has an option that is none of: sslmode, sslrootcert, {known}")));
            }
        }
    }
    Ok((ssl, others))
}

fn sslmode(mode: &str) -> Result<Mode, AddressError> {
    match mode {
        "disable" => Ok(Mode::Disable),
        "prefer" => Ok(Mode::Prefer),
        "require" => Ok(Mode::Require),
        "verify-ca" => Ok(Mode::VerifyCa),
        "verify-full" => Ok(Mode::VerifyFull),
        _ => Err(wrong("its sslmode is none of: disable, prefer, require, verify-ca, verify-full")),
    }
}

fn decoded(file: &str) -> Result<PathBuf, AddressError> {
    let path = percent_encoding::percent_decode_str(file).decode_utf8();
    path.map(|path| PathBuf::from(path.as_ref())).map_err(|_| wrong("its sslrootcert is no path"))
}

fn wrong(why: &str) -> AddressError {
    AddressError(format!(
        "the URL of the database is wrong: {why}; write postgres://user:password@host:5432/database?sslmode=verify-full, \
         with special characters of the user and the password in percent-encoding"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(&Secret::new(url), "test").map_err(|error| error.to_string())
    }

    #[test]
    fn sslmode_means_what_it_means_to_psql() {
        let cases = [
            ("", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("?sslmode=prefer", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=require", SslMode::Require, Verify::Nothing),
            ("?sslmode=verify-ca", SslMode::Require, Verify::Chain),
            ("?sslmode=verify-full", SslMode::Require, Verify::ChainAndName),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Verify::ChainAndName),
        ];
        for (options, mode, verify) in cases {
            let address =
                parse(&format!("postgres://u:p@db.example/shop{options}")).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(address.config.get_ssl_mode(), mode, "{options}");
            assert_eq!(address.tls.verify(), verify, "{options}");
        }
        let local =
            parse("postgresql:///shop?host=%2Frun%2Fpostgresql&sslmode=require").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(local.config.get_ssl_mode(), SslMode::Disable, "nothing is encrypted within a machine");
    }

    #[test]
    fn a_certificate_to_trust_makes_require_look_at_it() {
        let named = Ssl { mode: Some(Mode::Require), roots: Roots::File("ca.crt".into()) };
        assert!(matches!(named.agreed(), Ok((SslMode::Require, Verify::Chain))));
    }

    #[test]
    fn a_wrong_url_is_explained_and_never_shown() {
        let cases = [
            ("mysql://u:hunter2@h/db", "does not begin with postgres://"),
            ("hunter2", "does not begin with postgres://"),
            ("postgres://u:hunter2@x@h/db", "%40"),
            ("postgres://u:hunter2?x=y@h/db", "an option that is none of"),
            ("postgres://u:hunter2@h/db?hunter2=1", "an option that is none of"),
            ("postgres://u:hunter2@h/db?hunter2", "an option that is none of"),
            ("postgres://u:hunter2@h:hunter2/db", "cannot be told"),
            ("postgres://u:hunter2@/db", "names no host"),
            ("postgres://u:hunter2@h/db?sslmode=hunter2", "its sslmode is none of"),
            ("postgres://u:hunter2@h/db?sslrootcert=system", "needs sslmode=verify-full"),
            ("postgres://u:p@h/db?sslmode=verify-ca&sslrootcert=/nowhere/ca.crt", "cannot read /nowhere/ca.crt"),
        ];
        for (url, words) in cases {
            let Err(why) = parse(url) else { panic!("{url} is taken") };
            assert!(why.contains(words), "{url}: {why}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
