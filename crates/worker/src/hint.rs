//! Says in plain words what brokers, caches and drivers mean, and what mends it.

/// What is said behind an error that only its author understands; each where the text holds one of the words.
const PLAIN: [(&[&str], &str); 5] = [
    (&["InvalidContentType", "wrong version number", "CorruptMessage"], ASK_FOR_TLS),
    (
        &["CaUsedAsEndEntity", "UnknownIssuer", "SelfSigned", "self-signed", "invalid peer certificate: BadSignature"],
        "the certificate is its own authority's or of one that is not trusted here: name the authority's file as `tls.ca_file`",
    ),
    (&["NotValidForName"], "the certificate is for another name than the one in the URL"),
    (&["certificate expired", "Expired"], "the certificate has run out"),
    (&["CertificateRequired"], "the server wants a certificate of ours: `tls.cert_file` and `tls.key_file`"),
];

/// How a refusal is mended, by what it says; the first that fits.
const MENDS: [(&[&str], &str); 5] = [
    (
        &[
            "WRONGPASS",
            "NOAUTH",
            "invalid username-password",
            "Login was refused",
            "ACCESS_REFUSED - Login",
            "authorization violation",
            "Authentication",
            "credentials",
            "does not let this user in",
            "InvalidCredentials",
        ],
        "compare the user and the password with the server's",
    ),
    (
        &["vhost", "virtual host"],
        "make the virtual host and give this user rights in it, or name another one in the URL",
    ),
    (
        &["NOPERM", "ACCESS_REFUSED", "ermission", "may not"],
        "give this user the rights that docs/brokers.md and docs/targets.md list",
    ),
    (&["READONLY"], "name the master: this server is a replica"),
    (&["LOADING"], "wait until the server has read its data"),
];

/// Such a silence is all that there is when one side speaks TLS and the other does not.
const SILENCE: [&str; 3] = ["timed out", "no answer", "unexpected end of file"];
const ASK_FOR_TLS: &str = "does this port speak TLS?";

/// The same of a server that is reached by TLS.
#[must_use]
pub fn plain_of(error: &str, encrypted: bool) -> String {
    let is_silent = SILENCE.iter().any(|words| error.contains(words));
    match encrypted && is_silent && !error.contains(ASK_FOR_TLS) {
        true => format!("{error} ({ASK_FOR_TLS})"),
        false => plain(error),
    }
}

/// The error, with what it means in plain words where that is not plain.
#[must_use]
pub fn plain(error: &str) -> String {
    let meant =
        PLAIN.iter().filter(|(words, _)| words.iter().any(|word| error.contains(word))).map(|(_, meant)| *meant);
    let meant: Vec<&str> = meant.filter(|meant| !error.contains(meant)).collect();
    if meant.is_empty() { error.to_owned() } else { format!("{error} ({})", meant.join("; ")) }
}

/// The error in plain words, with what mends it where that is known.
#[must_use]
pub fn whole(error: &str) -> String {
    match mend(error) {
        "" => plain(error),
        mend => format!("{}; {mend}", plain(error)),
    }
}

/// What mends a refusal; empty where only its own words say it.
#[must_use]
pub fn mend(refusal: &str) -> &'static str {
    let fits = MENDS.iter().find(|(words, _)| words.iter().any(|word| refusal.contains(word)));
    fits.map_or("", |(_, mend)| mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_driver_is_said_in_plain_words_once() {
        let said = plain("cannot reach the cache: received corrupt message of type InvalidContentType");
        assert!(said.ends_with("InvalidContentType (does this port speak TLS?)"), "{said}");
        assert_eq!(plain(&said), said);
        assert_eq!(plain("connection refused"), "connection refused");
        assert_eq!(plain_of("timed out", true), "timed out (does this port speak TLS?)");
        assert_eq!(plain_of("timed out", false), "timed out");
        assert!(plain("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))").contains("`tls.ca_file`"));
    }

    #[test]
    fn a_refusal_is_mended_by_what_it_says() {
        for (refusal, words) in [
            ("the cache refused: WRONGPASS invalid username-password pair", "password"),
            ("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN", "password"),
            ("NOT_ALLOWED - vhost shop not found", "virtual host"),
            ("NOPERM this user has no permissions to run the 'info' command", "rights"),
            ("the broker refused: the server does not let this user in any more", "password"),
            ("the broker refused: Permissions Violation for Publish to \"quash.events\"", "rights"),
            ("something new", ""),
        ] {
            assert!(mend(refusal).contains(words) && mend(refusal).is_empty() == words.is_empty(), "{refusal}");
        }
    }
}
