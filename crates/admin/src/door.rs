//! Decides who comes in: names of this machine where there is no token, tokens and sessions, roles, and where a change comes from.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::refusal::Refusal;
use crate::session::{COOKIE, Sessions};
use crate::token::{Tokens, Who};

/// What a route asks of whoever wants to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing, from whatever name it is asked: who restarts the process needs no secret for that.
    Anybody,
    /// Nothing, but a name of this machine where there is no token: the way in.
    Entrance,
    /// Any role.
    Viewer,
    /// The role operator.
    Operator,
}

/// Who may come in.
pub(crate) struct Door {
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
}

/// How somebody was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// A token in the request, or nothing where none is needed.
    Request,
    /// A cookie, which browsers send by themselves.
    Cookie,
}

impl Door {
    /// Who comes in by this request; `None` where nobody has to say.
    pub(crate) fn admit(&self, request: &Parts, access: Access) -> Result<Option<Who>, Refusal> {
        if access == Access::Anybody {
            return Ok(None);
        }
        if self.tokens.is_empty() {
            names_this_machine(&request.headers)?;
        }
        let recognised = self.recognise(&request.headers);
        let is_change = !matches!(request.method, Method::GET | Method::HEAD);
        if is_change {
            comes_from_here(&request.headers, matches!(recognised, Some((_, By::Cookie))))?;
        }
        match recognised {
            _ if access == Access::Entrance => Ok(recognised.map(|(who, _)| who)),
            None => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "a token is needed: send it as `Authorization: Bearer TOKEN`, or log in at /login",
            )),
            Some((who, _)) if access == Access::Operator && !who.operates() => {
                Err(Refusal::forbidden(format!("{} is a viewer: this needs the role operator", who.name)))
            }
            Some((who, _)) => Ok(Some(who)),
        }
    }

    /// Who asks, whether they are let in or not.
    pub(crate) fn who_asks(&self, headers: &HeaderMap) -> Option<Who> {
        self.recognise(headers).map(|(who, _)| who)
    }

    /// Who it is. A wrong token is not made good by a cookie.
    fn recognise(&self, headers: &HeaderMap) -> Option<(Who, By)> {
        if self.tokens.is_empty() {
            return Some((Who::local(), By::Request));
        }
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let who = bearer(value.as_bytes()).and_then(|token| self.tokens.who_has(token))?;
            return Some((who.clone(), By::Request));
        }
        let name = self.sessions.who(session(headers)?)?;
        Some((self.tokens.who_is(&name)?.clone(), By::Cookie))
    }
}

/// The session that a request names.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    pairs.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// The token of an `Authorization` header. Names of schemes are read in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii_start())
}

/// A page elsewhere can give its own name the address of this machine, and then read what is answered: the name in the
/// request tells.
fn names_this_machine(headers: &HeaderMap) -> Result<(), Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if is_this_machine(host) {
        return Ok(());
    }
    Err(Refusal::forbidden(
        "there is no token here, so only 127.0.0.1, [::1] and localhost are answered: set admin.token, or ask by one of these names",
    ))
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            return is_port(port) && address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
        }
        None => host.split_once(':').map_or((host, ""), |(name, _)| (name, &host[name.len()..])),
    };
    let (name, port) = name;
    is_port(port)
        && (name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// A change must come from a page of this endpoint, or from no browser at all. Browsers say where a request comes from, and
/// no page can make them say something else; what a cookie lets in has to be said.
fn comes_from_here(headers: &HeaderMap, by_cookie: bool) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let elsewhere = || Refusal::forbidden("this change comes from a page elsewhere: it was not made");
    let site = text("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return Err(elsewhere());
    }
    let origin = text("origin");
    if let Some(origin) = origin {
        let host = text("host").unwrap_or_default();
        let from = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if from.is_none_or(|from| host.is_empty() || !from.eq_ignore_ascii_case(host)) {
            return Err(elsewhere());
        }
    }
    if by_cookie && site.is_none() && origin.is_none() {
        return Err(Refusal::forbidden(
            "a browser that does not say where a change comes from is not trusted: send a token instead",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use quash_config::Secret;
    use quash_dispatch::config::{AdminConfig, Role, TokenConfig};

    use super::*;

    fn door(names: &[(&str, Role)]) -> Door {
        let token = |(name, role): &(&str, Role)| {
            let token =
                TokenConfig { token: Secret::new(format!("t-{name}")), role: *role, payloads: Default::default() };
            ((*name).to_owned(), token)
        };
        let config = AdminConfig { tokens: names.iter().map(token).collect(), ..AdminConfig::default() };
        Door { tokens: Tokens::of(&config), sessions: Sessions::default() }
    }

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn admitted(door: &Door, method: &str, access: Access, headers: &[(&str, &str)]) -> Result<String, u16> {
        let admitted = door.admit(&parts(method, headers), access);
        admitted
            .map(|who| who.map_or_else(String::new, |who| who.name.to_string()))
            .map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        let door = door(&[]);
        for host in ["127.0.0.1:9464", "127.8.9.1", "localhost", "LocalHost:1", "[::1]", "[::1]:9464"] {
            assert_eq!(admitted(&door, "GET", Access::Operator, &[("host", host)]), Ok("local".to_owned()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
            "[::1]x",
            "localhost:x",
            "localhost:1:2",
            "x@localhost",
        ] {
            assert_eq!(admitted(&door, "GET", Access::Viewer, &[("host", host)]), Err(403), "{host}");
            assert_eq!(admitted(&door, "GET", Access::Entrance, &[("host", host)]), Err(403), "{host}");
        }
        assert_eq!(admitted(&door, "GET", Access::Anybody, &[]), Ok(String::new()));
    }

    #[test]
    fn tokens_and_roles_decide_what_is_allowed() {
        let door = door(&[("eve", Role::Viewer), ("bob", Role::Operator)]);
        let cases = [
            (None, Access::Viewer, Err(401)),
            (Some("Bearer nonsense"), Access::Viewer, Err(401)),
            (Some("Basic t-bob"), Access::Viewer, Err(401)),
            (Some("Bearer t-eve"), Access::Viewer, Ok("eve")),
            (Some("Bearer t-eve"), Access::Operator, Err(403)),
            (Some("bearer  t-bob"), Access::Operator, Ok("bob")),
            (None, Access::Entrance, Ok("")),
            (None, Access::Anybody, Ok("")),
        ];
        for (authorization, access, expect) in cases {
            let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
            let got = admitted(&door, "GET", access, &headers);
            assert_eq!(got, expect.map(str::to_owned), "{authorization:?} {access:?}");
        }
    }

    #[test]
    fn a_session_stands_for_its_token_and_for_no_longer() {
        let door = door(&[("bob", Role::Operator)]);
        let name = door.sessions.open(&"bob".into()).unwrap();
        let cookie = format!("theme=dark; {COOKIE}={name}");
        let from_here = [("cookie", cookie.as_str()), ("host", "a"), ("origin", "http://a")];
        assert_eq!(admitted(&door, "POST", Access::Operator, &from_here), Ok("bob".to_owned()));
        assert_eq!(
            admitted(&door, "POST", Access::Operator, &from_here[..1]),
            Err(403),
            "nobody says where it comes from"
        );
        let with_a_wrong_token = [("cookie", cookie.as_str()), ("authorization", "Bearer x")];
        assert_eq!(admitted(&door, "GET", Access::Viewer, &with_a_wrong_token), Err(401));
        door.sessions.close(&name);
        assert_eq!(admitted(&door, "GET", Access::Viewer, &from_here), Err(401));
    }

    #[test]
    fn changes_come_from_here_or_from_no_browser() {
        let door = door(&[("bob", Role::Operator)]);
        let cases: [(&[(&str, &str)], bool); 9] = [
            (&[], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://q.example:9464")], true),
            (&[("origin", "http://Q.example:9464")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://q.example")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], false),
        ];
        for (headers, is_let) in cases {
            let mut headers = headers.to_vec();
            headers.extend([("host", "q.example:9464"), ("authorization", "Bearer t-bob")]);
            for access in [Access::Entrance, Access::Operator] {
                assert_eq!(admitted(&door, "POST", access, &headers).is_ok(), is_let, "{headers:?}");
            }
            assert!(admitted(&door, "GET", Access::Operator, &headers).is_ok(), "reading changes nothing: {headers:?}");
        }
    }
}
