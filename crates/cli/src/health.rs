//! `quash health`: asks a running worker whether it is well, or whether it lives.

use std::time::Duration;

use quash_config::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::output::{escape_for_terminal, escape_json};
use super::{CliError, Exit, Global, Output, output};
use quash_admin::{Health, OFF};

/// How long the worker may take to answer: shorter than the time-outs of those who run health checks.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bytes of an answer that are read at most.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Asks a running worker whether it is well: 0 when it is, 1 when it is not, 69 when nobody answers.
///
/// It is well when its brokers are connected and at least one target can be reached; one that cannot be is called degraded, and
/// ends with 0. `--live` asks only whether the process answers: that is for whoever restarts it, because a restart brings no
/// cache back.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask only whether the process answers, whatever it can reach
    #[arg(long)]
    pub live: bool,
    /// The worker's admin endpoint, as `http://127.0.0.1:9464`; that of the configuration when left out
    #[arg(long)]
    pub url: Option<String>,
}

/// Asks a running worker whether it is well.
///
/// # Errors
/// [`CliError::Unreachable`] when nobody answers, [`CliError::Refused`] when the token is wrong, [`CliError::Usage`] when
/// there is no endpoint to ask.
pub async fn run(args: Args, global: &Global) -> Result<Exit, CliError> {
    let (address, token) = match args.url {
        Some(url) => {
            (address_of(&url)?, global.load().ok().and_then(|loaded| loaded.root.admin.least_token().cloned()))
        }
        None => {
            let admin = global.load()?.root.admin;
            (reachable(&admin.listen)?, admin.least_token().cloned())
        }
    };
    let unreachable =
        |error: std::io::Error| CliError::Unreachable(format!("cannot ask the worker at {address}: {error}"));
    let (path, token) = if args.live { ("/livez", None) } else { ("/readyz", token) };
    let asked = timeout(PATIENCE, ask(&address, path, token.as_ref())).await;
    let answer = asked.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
    let (status, body) = parse(&answer)
        .ok_or_else(|| CliError::Unreachable(format!("what listens at {address} does not answer in HTTP")))?;
    match args.live {
        true => report_life(global.output, status),
        false => report(global.output, status, body),
    }
}

async fn ask(address: &str, path: &str, token: Option<&Secret>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let authorization = token.map_or_else(String::new, |token| format!("Authorization: Bearer {}\r\n", token.expose()));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn report_life(output: Output, status: u16) -> Result<Exit, CliError> {
    if status != 200 {
        return Err(CliError::Unreachable(format!("the worker answered with HTTP status {status}")));
    }
    output::say(match output {
        Output::Json => r#"{"live":true}"#,
        Output::Text => "it lives",
    })?;
    Ok(Exit::Done)
}

fn report(output: Output, status: u16, body: &str) -> Result<Exit, CliError> {
    let is_degraded = || serde_json::from_str::<Health>(body).is_ok_and(|health| health.is_degraded());
    let (word, exit) = match status {
        200 if is_degraded() => ("degraded", Exit::Done),
        200 => ("well", Exit::Done),
        503 => ("not well", Exit::Failures),
        401 => return Err(CliError::Refused("the worker wants another token (admin.token)".to_owned())),
        other => return Err(CliError::Unreachable(format!("the worker answered with HTTP status {other}"))),
    };
    let line = match output {
        Output::Json => escape_json(body.trim()).into_owned(),
        Output::Text => format!("{word}: {}", in_words(body)),
    };
    output::say(&line)?;
    Ok(exit)
}

/// What the worker says about itself, in words; as it came where it is of another kind.
fn in_words(body: &str) -> String {
    let words = match serde_json::from_str::<Health>(body) {
        Ok(health) => health.to_string(),
        Err(_) => body.trim().to_owned(),
    };
    escape_for_terminal(&words).into_owned()
}

/// Status and body of an answer. The worker sends short bodies in one piece, never chunked.
fn parse(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

fn address_of(url: &str) -> Result<String, CliError> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let address = rest.split('/').next().unwrap_or_default();
    match address.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && port.parse::<u16>().is_ok() && !rest.contains("//") && !rest.contains('@') =>
        {
            Ok(address.to_owned())
        }
        _ => Err(CliError::Usage(format!("`{}` is no endpoint; write http://HOST:PORT", without_secrets(url)))),
    }
}

/// The URL without what stands before an `@` or behind a `?`.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}"),
        None => format!("{scheme}{rest}"),
    }
}

/// Where to ask what listens there: who listens everywhere is asked on this machine.
fn reachable(listen: &str) -> Result<String, CliError> {
    if listen == OFF {
        return Err(CliError::Usage("the admin endpoint is off (admin.listen): nobody can be asked".to_owned()));
    }
    let address = listen.strip_prefix("0.0.0.0:").map(|port| format!("127.0.0.1:{port}"));
    let address = address.or_else(|| listen.strip_prefix("[::]:").map(|port| format!("[::1]:{port}")));
    Ok(address.unwrap_or_else(|| listen.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_status_and_body() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}\n", Some((200, "{}\n"))),
            ("HTTP/1.0 503 Service Unavailable\r\n\r\n", Some((503, ""))),
            ("HTTP/1.1 OK\r\n\r\n", None),
            ("-ERR unknown command\r\n\r\n", None),
            ("", None),
        ];
        for (answer, expected) in cases {
            assert_eq!(parse(answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_endpoint_is_found() {
        let cases = [("127.0.0.1:9464", "127.0.0.1:9464"), ("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80")];
        for (listen, expected) in cases {
            assert_eq!(reachable(listen).unwrap(), expected);
        }
        assert!(reachable("off").is_err());
        for url in ["http://worker:9464", "http://worker:9464/readyz", "worker:9464"] {
            assert_eq!(address_of(url).unwrap(), "worker:9464");
        }
        for url in ["https://worker:9464", "worker", "http://", ":9464", "worker:http"] {
            assert!(address_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_secret_in_the_url_is_never_shown() {
        let urls =
            ["http://u:hush@host", "http://u:hush@host:9464", "u:hush@host:9464", "https://hush@h:1/?token=hush"];
        for url in urls {
            let error = address_of(url).unwrap_err();
            assert_eq!(error.code(), 2);
            assert!(error.to_string().contains("***@h") && !error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn people_are_told_in_words() {
        let body = r#"{"ready":false,"draining":true,"sources":[{"name":"events","connected":true}],"lanes":[{"target":"main","open":true}]}"#;
        assert_eq!(in_words(body), "draining, source events is connected, target main cannot be reached");
        assert_eq!(in_words("another\u{1b}[31m\n"), "another\\x1b[31m");
    }

    #[test]
    fn the_exit_says_how_it_is() {
        assert_eq!(report(Output::Text, 200, "{}").unwrap(), Exit::Done);
        assert_eq!(report_life(Output::Text, 200).unwrap(), Exit::Done);
        assert_eq!(report_life(Output::Text, 404).unwrap_err().code(), 69);
        assert_eq!(report(Output::Json, 503, "{}").unwrap(), Exit::Failures);
        assert_eq!(
            report(Output::Text, 401, "").unwrap_err().to_string(),
            "the worker wants another token (admin.token)"
        );
    }
}
