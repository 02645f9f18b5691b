//! Declares what is true of a cache's entries, for whoever compares the two.

use quash_config::{ConfigPath, Problem};
use serde::Deserialize;

/// What entries are compared with. One of `sql` and `callback`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TruthConfig {
    /// A query to a database.
    pub sql: Option<SqlTruth>,
    /// The application, which loads anew and compares.
    pub callback: Option<CallbackTruth>,
}

/// A query whose columns an entry has as fields of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SqlTruth {
    /// The server, by its name under `servers`.
    pub server: String,
    /// `SELECT price, title FROM product WHERE id = {id}`. Arguments are bound; `{{` and `}}` are braces.
    pub query: String,
}

/// Where the application is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CallbackTruth {
    /// `https://app.example/quash/verify`; `http://` too.
    pub url: String,
    /// What questions are signed with, by its name under `secrets`.
    pub secret: String,
}

impl TruthConfig {
    /// What of it cannot be, given the names that are declared.
    #[must_use]
    pub fn check(&self, path: &ConfigPath, args: &[String], servers: &[&str], secrets: &[&str]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.sql.is_some() == self.callback.is_some() {
            problems.push(Problem::error(path.clone(), "one of `sql` and `callback` says what is true"));
        }
        let mut named = |path: ConfigPath, kind: &str, name: &str, names: &[&str]| {
            if !names.contains(&name) {
                let problem = Problem::error(path, format!("there is no {kind} `{name}`"));
                problems.push(problem.help(match quash_config::nearest(name, names.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("declare it under `{kind}s`"),
                }));
            }
        };
        if let Some(sql) = &self.sql {
            named(path.key("sql").key("server"), "server", &sql.server, servers);
        }
        if let Some(callback) = &self.callback {
            named(path.key("callback").key("secret"), "secret", &callback.secret, secrets);
        }
        if let Some(Err(why)) = self.sql.as_ref().map(|sql| sql.bound(args)) {
            problems.push(Problem::error(path.key("sql").key("query"), why));
        }
        let url = self.callback.as_ref().map(|callback| callback.url.as_str());
        if url.is_some_and(|url| !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme))) {
            problems
                .push(Problem::error(path.key("callback").key("url"), "it does not begin with https:// or http://"));
        }
        problems
    }
}

impl SqlTruth {
    /// The query with `$1`, `$2` in the places of arguments, and the arguments by their indices in the cache.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn bound(&self, args: &[String]) -> Result<(String, Vec<usize>), String> {
        let (mut text, mut bound, mut rest) = (String::new(), Vec::new(), self.query.as_str());
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..];
            if brace.starts_with("{{") || brace.starts_with("}}") {
                text.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let end =
                brace.find('}').filter(|_| brace.starts_with('{')).ok_or("a brace is not closed or not opened")?;
            let name = brace[1..end].trim();
            let arg = args.iter().position(|arg| arg == name).ok_or_else(|| format!("unknown argument `{name}`"))?;
            let index = bound.iter().position(|known| *known == arg).unwrap_or_else(|| {
                bound.push(arg);
                bound.len() - 1
            });
            text.push_str(&format!("${}", index + 1));
            rest = &brace[end + 1..];
        }
        text.push_str(rest);
        Ok((text, bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(query: &str) -> SqlTruth {
        SqlTruth { server: "shop".to_owned(), query: query.to_owned() }
    }

    #[test]
    fn arguments_are_bound_and_never_written_into_the_query() {
        let args = ["lang".to_owned(), "id".to_owned()];
        let bound = |query| sql(query).bound(&args);
        let (text, indices) = bound("select '{{}}' where id = {id} and l = {lang} and i = { id }").unwrap();
        assert_eq!(text, "select '{}' where id = $1 and l = $2 and i = $1");
        assert_eq!(indices, [1, 0]);
        assert_eq!(bound("select {price}").unwrap_err(), "unknown argument `price`");
        assert!(bound("select {id").is_err() && bound("select id}").is_err());
    }

    #[test]
    fn what_is_named_is_declared() {
        let check = |truth: &TruthConfig| {
            let problems = truth.check(&ConfigPath::root(), &["id".to_owned()], &["shop"], &["verify"]);
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        let callback = |url: &str, secret: &str| CallbackTruth { url: url.to_owned(), secret: secret.to_owned() };
        let of = |sql, callback| TruthConfig { sql, callback };
        assert_eq!(check(&of(Some(sql("select {id}")), None)), [""; 0]);
        assert_eq!(check(&of(None, Some(callback("https://app/v", "verify")))), [""; 0]);
        assert_eq!(check(&of(None, None)).len(), 1);
        assert_eq!(
            check(&of(Some(SqlTruth { server: "shp".to_owned(), ..sql("x") }), None)),
            ["there is no server `shp`"]
        );
        let wrong = check(&of(None, Some(callback("ftp://app", "verfy"))));
        assert_eq!(wrong, ["there is no secret `verfy`", "it does not begin with https:// or http://"]);
    }
}
