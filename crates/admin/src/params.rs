//! Reads what a request says of itself: its query, its form, or its JSON, each name at most known.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use quash_worker::dead_letter::filter::Filter;
use std::convert::Infallible;

use crate::list::{Order, PAGE, PAGE_MAX, Wanted};
use crate::refusal::Refusal;
use crate::token::Who;

/// Names with values, in the order of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query or a form.
    pub(crate) fn read(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of a name; nothing where it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// All values of a name.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a box is ticked.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "0" | "false" | "no"))
    }

    /// A number, if there is one.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Refusal> {
        let wrong = |value| Refusal::wrong(format!("`{name}`: `{value}` is no number that fits"));
        self.get(name).map(|value| value.parse().map_err(|_| wrong(value))).transpose()
    }

    /// Refuses names that nothing asks for: a slip must not mean "all".
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                Err(Refusal::wrong(format!("there is no parameter `{name}`, known are {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// The filter, which may be empty.
    pub(crate) fn filter(&self) -> Result<Filter, Refusal> {
        read_filter(self.get("filter").unwrap_or_default())
    }

    /// Which page of a list is wanted.
    pub(crate) fn wanted(&self) -> Result<Wanted, Refusal> {
        let order = match self.get("order") {
            None | Some("newest") => Order::Newest,
            Some("oldest") => Order::Oldest,
            Some(other) => return Err(Refusal::wrong(format!("`order` is newest or oldest, not `{other}`"))),
        };
        let limit = self.number::<usize>("limit")?.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Refusal::wrong(format!("`limit` is 1 to {PAGE_MAX}")));
        }
        Ok(Wanted { filter: self.filter()?, order, after: self.get("after").map(str::to_owned), limit })
    }
}

pub(crate) fn read_filter(text: &str) -> Result<Filter, Refusal> {
    text.parse().map_err(|error| Refusal::wrong(format!("the filter is wrong {error}")))
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

/// Whoever was let in; the door has put it there.
impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let nobody = || Refusal::forbidden("nobody was let in");
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_and_slips_are_refused() {
        let params = Params::read(b"source=events&id=1&id=2&filter=reason%3Arule+a&limit=&dry_run=on&force=0");
        assert_eq!((params.get("source"), params.get("limit"), params.get("x")), (Some("events"), None, None));
        assert_eq!(params.all("id"), ["1", "2"]);
        assert_eq!((params.is_set("dry_run"), params.is_set("force")), (true, false));
        assert!(params.filter().is_ok() && params.wanted().is_ok());
        assert!(params.only(&["source", "id", "filter", "limit", "dry_run", "force"]).is_ok());
        assert!(params.only(&["source"]).unwrap_err().error.contains("`id`"));
        for wrong in ["filter=raeson:rule", "order=x", "limit=0", "limit=501", "limit=x", "limit=-1"] {
            assert_eq!(Params::read(wrong.as_bytes()).wanted().unwrap_err().status, 400, "{wrong}");
        }
    }
}
