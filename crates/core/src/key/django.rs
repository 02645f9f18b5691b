//! Spells the keys of Django's own caching: fragments of templates (`{% cache %}`), and cached pages.

use serde::Deserialize;

use super::digest::Digest;
use super::format_spec::{self, Piece};
use super::library::{Built, Given, Library};
use super::{ArgSet, Args, Entries, Filled, KeyError, KeySet, OneOrMany, Reach, ReachBy, Remover, Scheme};
use crate::glob::GlobBuilder;
use quash_config::{ConfigPath, Problem};

/// Hexadecimal digits of MD5.
const DIGITS: usize = 32;

/// Fragments of templates: `{% cache 500 sidebar user.id %}`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Fragment {
    /// The fragment's name: `sidebar`.
    pub name: String,
    /// What it varies on, in the order of the tag.
    #[serde(default)]
    pub vary_on: Vec<String>,
    /// The release of Django that writes it, or a list; the keys of all releases when left out.
    #[serde(default)]
    pub release: Option<OneOrMany<String>>,
}

/// Pages of the cache middleware and of `cache_page`, without which Django looks for no page: what they vary on.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The whole address, with arguments: `https://shop.example/books/{id}/`.
    pub url: String,
    /// `key_prefix` of `cache_page`, or `CACHE_MIDDLEWARE_KEY_PREFIX`.
    #[serde(default)]
    pub key_prefix: String,
    /// The languages, where `USE_I18N` is on (as it is unless told otherwise): `en-us`.
    #[serde(default)]
    pub language: Option<OneOrMany<String>>,
    /// The time zones, where `USE_TZ` is on: `UTC`.
    #[serde(default)]
    pub timezone: Option<OneOrMany<String>>,
}

impl Library for Fragment {
    fn args(&self) -> Vec<String> {
        unique(self.vary_on.iter().cloned())
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let mut problems = Vec::new();
        if self.name.is_empty() {
            problems.push(Problem::error(ConfigPath::root().key("name"), "a fragment needs a name"));
        }
        let releases = self.release.as_ref().map(OneOrMany::as_slice);
        let (mut old, mut new) = (releases.is_none(), releases.is_none());
        for release in releases.unwrap_or_default() {
            match release_of(release) {
                Some(release) if release < (6, 1) => old = true,
                Some(_) => new = true,
                None => {
                    let message = format!("`{release}` is no release of Django");
                    problems.push(Problem::error(ConfigPath::root().key("release"), message).help("write it as `5.2`"));
                }
            }
        }
        if !old && !new && problems.is_empty() {
            let message = "an empty list would invalidate nothing";
            problems.push(Problem::error(ConfigPath::root().key("release"), message));
        }
        if !problems.is_empty() {
            return (None, problems);
        }
        let vary_on: Vec<usize> = self.vary_on.iter().filter_map(|name| given.args.position(name)).collect();
        let texts = [(old, Text::Colons(vary_on.clone())), (new, Text::Netstrings(vary_on))];
        let texts: Vec<_> = texts.into_iter().filter(|(is, _)| *is).map(|(_, text)| text).collect();
        // Without anything to vary on both are the digest of nothing.
        let texts = if self.vary_on.is_empty() { texts.into_iter().take(1).collect() } else { texts };
        let shown = self.vary_on.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
        let scheme = Hashed {
            names: given.args.names(),
            args: given.args,
            begin: format!("template.cache.{}.", self.name),
            texts,
            ends: vec![String::new()],
            shown: format!("md5 of ({shown})"),
        };
        (Some(Box::new(scheme)), problems)
    }
}

impl Library for Page {
    fn args(&self) -> Vec<String> {
        let fields = format_spec::parse(&self.url).unwrap_or_default().into_iter().filter_map(|piece| match piece {
            Piece::Field(field) => Some(field.path.join(".")),
            Piece::Literal(_) => None,
        });
        unique(fields)
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let path = || ConfigPath::root().key("url");
        let pieces = match format_spec::parse(&self.url) {
            Ok(pieces) => pieces,
            Err(message) => return (None, vec![Problem::error(path(), message)]),
        };
        if !["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            let problem = Problem::error(path(), "a page is known by its whole address");
            return (None, vec![problem.help("begin with `https://` and the host")]);
        }
        let each = |of: &Option<OneOrMany<String>>| match of.as_ref().map(OneOrMany::as_slice) {
            None => vec![String::new()],
            Some(values) => values.iter().map(|value| format!(".{value}")).collect(),
        };
        let (languages, timezones) = (each(&self.language), each(&self.timezone));
        let ends: Vec<String> = languages
            .iter()
            .flat_map(|language| timezones.iter().map(move |zone| format!("{language}{zone}")))
            .collect();
        if ends.is_empty() {
            return (None, vec![Problem::error(ConfigPath::root(), "an empty list would invalidate nothing")]);
        }
        let parts = pieces.into_iter().map(|piece| match piece {
            Piece::Literal(text) => Part::Literal(text),
            Piece::Field(field) => Part::Arg(given.args.position(&field.path.join(".")).unwrap_or_default()),
        });
        let scheme = Hashed {
            begin: format!("views.decorators.cache.cache_header.{}.", self.key_prefix),
            texts: vec![Text::Address(parts.collect())],
            ends,
            shown: format!("md5 of {}", self.url),
            names: given.args.names(),
            args: given.args,
        };
        (Some(Box::new(scheme)), Vec::new())
    }
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = Vec::new();
    names.for_each(|name| {
        if !known.contains(&name) {
            known.push(name);
        }
    });
    known
}

/// The first two numbers of a release.
fn release_of(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

/// Keys that are text around the digest of another text.
#[derive(Debug)]
struct Hashed {
    args: Args,
    names: Vec<String>,
    begin: String,
    /// What the digest is of; each gives keys of its own.
    texts: Vec<Text>,
    /// What stands behind the digest; each gives keys of its own.
    ends: Vec<String>,
    shown: String,
}

/// What a digest is of.
#[derive(Debug)]
enum Text {
    /// `7:en:`, to Django 6.0.
    Colons(Vec<usize>),
    /// `1:7,2:en,`, from Django 6.1 on.
    Netstrings(Vec<usize>),
    Address(Vec<Part>),
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Arg(usize),
}

impl Text {
    fn write(&self, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        let mut value = String::new();
        let (args, is_old) = match self {
            Self::Colons(args) => (args, true),
            Self::Netstrings(args) => (args, false),
            Self::Address(parts) => return parts.iter().try_for_each(|part| part.write(filled, out)),
        };
        for arg in args {
            value.clear();
            filled.python_str(*arg, &mut value)?;
            if is_old {
                out.extend([value.as_str(), ":"]);
            } else {
                out.extend([value.len().to_string().as_str(), ":", &value, ","]);
            }
        }
        Ok(())
    }
}

impl Part {
    fn write(&self, filled: &Filled<'_, '_>, out: &mut String) -> Result<(), KeyError> {
        const NOT_PLAIN: &str = "text that addresses write in more than one way; map it as it stands in the address";
        match self {
            Self::Literal(text) => out.push_str(text),
            Self::Arg(arg) => {
                let start = out.len();
                filled.python_str(*arg, out)?;
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte);
                if !out[start..].bytes().all(is_plain) {
                    return Err(KeyError::Unspellable { arg: filled.name(*arg).to_owned(), why: NOT_PLAIN });
                }
            }
        }
        Ok(())
    }
}

impl Hashed {
    fn keys_each(&self) -> usize {
        self.texts.len() * self.ends.len()
    }

    /// How many keys a key set has, if they are not too many.
    fn count(&self, exact: ArgSet, max_keys: usize) -> Option<usize> {
        let enumerated = self.args.all().difference(exact);
        let count = self.args.count(enumerated)?.checked_mul(self.keys_each())?;
        // What has nothing to enumerate stays as it is, also where nothing may be enumerated any more.
        (count <= max_keys.max(self.keys_each())).then_some(count)
    }
}

impl Scheme for Hashed {
    fn args(&self) -> &[String] {
        &self.names
    }

    fn reach(&self, exact: ArgSet, max_keys: usize) -> Reach {
        match self.count(exact, max_keys) {
            Some(count) => Reach::keys(format!("{}{}", self.begin, self.shown), count),
            None => Reach::one(ReachBy::Prefix, format!("{}*", self.begin), true),
        }
    }

    fn actions(&self, exact: ArgSet, max_keys: usize) -> usize {
        self.count(exact, max_keys).unwrap_or(1)
    }

    fn remove(
        &self,
        key_set: &KeySet<'_>,
        max_keys: usize,
        buffer: &mut String,
        remover: &mut dyn Remover,
    ) -> Result<(), KeyError> {
        let exact = key_set.exact();
        if self.count(exact, max_keys).is_none() {
            return remover.delete_prefix(&self.begin);
        }
        self.args.each(key_set, self.args.all().difference(exact), |filled| {
            for text in &self.texts {
                buffer.clear();
                text.write(filled, buffer)?;
                let digest = Digest::Md5.hex(buffer);
                self.ends.iter().try_for_each(|end| remover.delete(&format!("{}{digest}{end}", self.begin)))?;
            }
            Ok(())
        })
    }

    fn remove_all(&self, remover: &mut dyn Remover) {
        // Measured when the configuration was read.
        drop(remover.delete_prefix(&self.begin));
    }

    fn entries(&self) -> Entries {
        let keys = self.ends.iter().filter_map(|end| {
            let mut key = GlobBuilder::new();
            key.literal(&self.begin);
            key.hex(DIGITS);
            key.literal(end);
            key.build()
        });
        Entries { keys: keys.collect(), tags: Vec::new(), shared: false }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::key::conformance::{Wish, asked_of, scheme_of};

    fn delete(key: &str) -> Wish {
        Wish::Delete(key.to_owned())
    }

    /// The digests are those of `make_template_fragment_key` of Django 5.2.19 and 6.1.3.
    #[test]
    fn fragments_are_those_of_every_release() {
        let cases = [
            (json!([7]), "03a149245ce7dd9921af995e04819f39", "48c25a2266e93d01c2a04eec3bc6b227"),
            (json!([7, "grüße"]), "f8faf64bdb68655acbeca17251f0b4db", "e5d996c5986e3b91d06708e504f2a740"),
            (json!(["a:b", null, true]), "c0079d75316444e2b2f726932d4e62d0", "9978971006f2c1db434cb4e33aa3944a"),
        ];
        for (values, old, new) in cases {
            let names: Vec<String> = (0..values.as_array().unwrap().len()).map(|index| format!("a{index}")).collect();
            let exact: serde_json::Map<String, Json> =
                names.iter().cloned().zip(values.as_array().unwrap().iter().cloned()).collect();
            let (old, new) = (format!("template.cache.sidebar.{old}"), format!("template.cache.sidebar.{new}"));
            let of = |release: Json| {
                let declared = json!({"name": "sidebar", "vary_on": names, "release": release});
                asked_of::<Fragment>(declared, &Json::Object(exact.clone()))
            };
            assert_eq!(of(json!("5.2")), [delete(&old)], "{values}");
            assert_eq!(of(json!("6.1.3")), [delete(&new)], "{values}");
            assert_eq!(of(json!(["4.2", "6.1"])), [delete(&old), delete(&new)], "{values}");
            assert_eq!(of(json!(null)), [delete(&old), delete(&new)], "{values}");
        }
        let alone = [delete("template.cache.sidebar.d41d8cd98f00b204e9800998ecf8427e")];
        assert_eq!(asked_of::<Fragment>(json!({"name": "sidebar"}), &json!({})), alone);
    }

    #[test]
    fn what_is_not_known_takes_all_fragments_of_the_name() {
        let declared = json!({"name": "sidebar", "vary_on": ["user", "lang"]});
        let prefix = [Wish::DeletePrefix("template.cache.sidebar.".to_owned())];
        assert_eq!(asked_of::<Fragment>(declared.clone(), &json!({"user": 7})), prefix);
        let mut few = declared;
        few["values"] = json!({"lang": ["de", "en"]});
        few["release"] = json!("5.2");
        assert_eq!(asked_of::<Fragment>(few, &json!({"user": 7})).len(), 2);
    }

    #[test]
    fn a_page_is_found_by_its_address_language_and_zone() {
        let declared = |more: Json| {
            let mut declared = json!({"url": "https://shop.example/books/{id}/", "key_prefix": "p"});
            declared.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            declared
        };
        let key = "views.decorators.cache.cache_header.p.8b80f1006536a38c50de7394e7c31d1d";
        assert_eq!(asked_of::<Page>(declared(json!({})), &json!({"id": 7})), [delete(key)]);
        let both = declared(json!({"language": ["en-us", "de"], "timezone": "UTC"}));
        let expected = [delete(&format!("{key}.en-us.UTC")), delete(&format!("{key}.de.UTC"))];
        assert_eq!(asked_of::<Page>(both, &json!({"id": "7"})), expected);
        let prefix = "views.decorators.cache.cache_header.p.".to_owned();
        assert_eq!(asked_of::<Page>(declared(json!({})), &json!({})), [Wish::DeletePrefix(prefix)]);
        let refused = asked_of::<Page>(declared(json!({})), &json!({"id": "é"}));
        assert!(
            matches!(&refused[..], [Wish::Refused(why)] if why.contains("as it stands in the address")),
            "{refused:?}"
        );
    }

    #[test]
    fn what_would_invalidate_nothing_is_refused() {
        let fragment = |declared| scheme_of::<Fragment>(declared).err().unwrap_or_default();
        assert_eq!(fragment(json!({"name": ""})), ["name: a fragment needs a name"]);
        assert_eq!(fragment(json!({"name": "a", "release": "new"})), ["release: `new` is no release of Django"]);
        assert_eq!(fragment(json!({"name": "a", "release": []})), ["release: an empty list would invalidate nothing"]);
        let page = |declared| scheme_of::<Page>(declared).err().unwrap_or_default();
        assert_eq!(page(json!({"url": "/books/{id}/"})), ["url: a page is known by its whole address"]);
        assert_eq!(page(json!({"url": "https://a/{id"})).len(), 1);
        assert_eq!(page(json!({"url": "https://a/", "language": []})), [": an empty list would invalidate nothing"]);
    }
}
