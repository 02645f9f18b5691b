//! Spells the keys of `djblets.cache`: the site's domain before every key, escaped, shortened or as an HMAC.

mod keys;
mod recipe;
mod shape;

use serde::Deserialize;

use self::keys::Djblets;
use self::recipe::{AesKey, Recipe};
use self::shape::Shape;
use super::library::{Built, Cannot, Given, Library};
use super::{Args, OneOrMany};
use quash_config::{ConfigPath, Problem};

/// More chunks than this are a gigabyte.
const CHUNKS_MAX: usize = 1000;

/// Keys that `cache_memoize` and its like of Djblets wrote.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The key that the code gives: a text with arguments, `stats:{user}`, or the list of its parts, which are escaped.
    pub key: Option<OneOrMany<String>>,
    /// The same for a `GenerationSynchronizer`, in the place of `key`: another number takes the place of the one there.
    pub generation: Option<OneOrMany<String>>,
    /// The domains of the `Site` rows that the processes run under, with their `SITE_ROOT`.
    pub sites: Vec<Site>,
    /// Whether keys without a domain go as well, which the library writes in silence where it cannot read its `Site` row.
    pub without_site: bool,
    /// How keys are encrypted, where they are.
    pub encryption: Option<Encryption>,
    /// How many chunks an entry of large data has at most, so that they go with it; left out, they stay until they expire.
    pub chunks: usize,
    /// The release that writes the keys, or several while a deployment rolls over; the newest known when left out.
    pub release: Option<OneOrMany<String>>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub force_overwrite: Option<Cannot>,
    /// Cannot be had from outside.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub lock: Option<Cannot>,
}

/// A site: its domain, or that with the `SITE_ROOT` of the settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Site {
    /// The domain alone.
    Domain(String),
    /// With a root.
    Rooted(Rooted),
}

/// A site whose settings have a `SITE_ROOT`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rooted {
    /// The domain of the `Site` row.
    pub domain: String,
    /// The `SITE_ROOT` of the settings.
    pub site_root: String,
}

impl Site {
    fn domain(&self) -> &str {
        match self {
            Self::Domain(domain) | Self::Rooted(Rooted { domain, .. }) => domain,
        }
    }

    /// What stands before every key.
    fn prefix(&self) -> String {
        match self {
            Self::Rooted(Rooted { domain, site_root }) if !site_root.is_empty() => format!("{domain}:{site_root}:"),
            Self::Domain(domain) | Self::Rooted(Rooted { domain, .. }) => format!("{domain}:"),
        }
    }
}

/// How keys are encrypted, by names of secrets.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Encryption {
    /// The secret that is `encryption_key` or `DJBLETS_CACHE_DEFAULT_ENCRYPTION_KEY`, or several of them.
    pub key: Option<OneOrMany<String>>,
    /// The same for keys that are no text: a secret in hexadecimal.
    pub hex_key: Option<OneOrMany<String>>,
    /// The secret whose first 16 characters are the key: Django's `SECRET_KEY`, when no other is set.
    pub first_16_of: Option<OneOrMany<String>>,
    /// Whether keys that are not encrypted go as well, while a deployment turns encryption on.
    pub plain: bool,
}

impl Library for Config {
    fn args(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut learn = |name: &str| match names.iter().position(|known| known == name) {
            Some(position) => Some(position),
            None => {
                names.push(name.to_owned());
                Some(names.len() - 1)
            }
        };
        // A wrong template is reported with the scheme.
        drop(Shape::parse(self.parts(), &mut learn));
        names
    }

    fn column(&self, arg: &str) -> Vec<String> {
        arg.split('.').map(str::to_owned).collect()
    }

    fn scheme(&self, given: Given<'_>) -> Built {
        let mut problems = self.problems();
        let (recipes, wrong) = self.recipes(&given);
        problems.extend(wrong);
        match self.shape(&given.args) {
            Ok(shape) if problems.is_empty() => {
                let names = given.args.names();
                let sites = self.sites.iter().map(Site::prefix).chain(self.without_site.then(String::new)).collect();
                let (is_generation, chunks) = (self.generation.is_some(), self.chunks);
                let scheme = Djblets { args: given.args, names, sites, shape, recipes, chunks, is_generation };
                (Some(Box::new(scheme)), problems)
            }
            shape => {
                problems.extend(shape.err());
                (None, problems)
            }
        }
    }
}

impl Config {
    /// The key as the code gives it, and what it is called here.
    fn own_key(&self) -> (&'static str, Option<&OneOrMany<String>>) {
        match &self.key {
            Some(key) => ("key", Some(key)),
            None => ("generation", self.generation.as_ref()),
        }
    }

    fn parts(&self) -> &[String] {
        self.own_key().1.map_or(&[], OneOrMany::as_slice)
    }

    fn is_list(&self) -> bool {
        matches!(self.own_key().1, Some(OneOrMany::Many(_)))
    }

    fn shape(&self, args: &Args) -> Result<Shape, Problem> {
        let mut position = |name: &str| args.position(name);
        Shape::parse(self.parts(), &mut position).map_err(|(part, message)| {
            let path = ConfigPath::root().key(self.own_key().0);
            Problem::error(if self.is_list() { path.index(part) } else { path }, message)
        })
    }

    fn problems(&self) -> Vec<Problem> {
        let path = ConfigPath::root;
        let mut problems: Vec<Problem> = Vec::new();
        if self.key.is_some() == self.generation.is_some() {
            problems.push(Problem::error(path(), "name exactly one of `key` and `generation`"));
        }
        if self.sites.is_empty() && !self.without_site {
            let message = "keys begin with the domain of a `Site` row, which cannot be seen from outside";
            let help = "list all domains, as `sites: [www.example.com]`";
            problems.push(Problem::error(path().key("sites"), message).help(help));
        }
        for (index, _) in self.sites.iter().enumerate().filter(|(_, site)| site.domain().is_empty()) {
            let problem = Problem::error(path().key("sites").index(index), "a site needs a domain");
            problems.push(problem.help("for keys without one say `without_site: true`"));
        }
        if self.chunks > CHUNKS_MAX {
            let message = format!("an entry of more than {CHUNKS_MAX} chunks has more than a gigabyte");
            problems.push(Problem::error(path().key("chunks"), message).help("leave chunks to expire"));
        }
        if self.chunks > 0 && self.generation.is_some() {
            problems.push(Problem::error(path().key("chunks"), "a generation is a number, which has no chunks"));
        }
        problems.extend(Cannot::refuse(
            self.force_overwrite,
            "force_overwrite",
            "what a call computes cannot be computed from outside",
            "take it out: the entry is removed, and the next call computes it",
        ));
        problems.extend(Cannot::refuse(
            self.lock,
            "lock",
            "nobody outside waits for a lock: whoever holds it may store an old value behind an invalidation",
            "say when to invalidate again, as `again_after: [2s, 30s]`",
        ));
        problems
    }

    /// The ways in which a key is spelt, each once, and what is wrong with them.
    fn recipes(&self, given: &Given<'_>) -> (Vec<Recipe>, Vec<Problem>) {
        let (secrets, mut problems) = self.secrets(given);
        let newest = OneOrMany::One("6".to_owned());
        let releases = self.release.as_ref().unwrap_or(&newest);
        let path = ConfigPath::root().key("release");
        if releases.as_slice().is_empty() {
            problems.push(Problem::error(path.clone(), "an empty list would invalidate nothing"));
        }
        let (mut stripped, mut escaped) = (None, None);
        for (index, release) in releases.as_slice().iter().enumerate() {
            let path = if matches!(releases, OneOrMany::Many(_)) { path.index(index) } else { path.clone() };
            match self.recipe_of(release) {
                Ok(Recipe::Stripped) => stripped = Some(Recipe::Stripped),
                Ok(_) => escaped = Some(Recipe::Escaped),
                Err((message, help)) => problems.push(Problem::error(path, message).help(help)),
            }
        }
        let is_plain = self.encryption.as_ref().is_none_or(|encryption| encryption.plain);
        let plain = stripped.into_iter().chain(escaped.filter(|_| is_plain));
        (plain.chain(secrets.into_iter().map(Recipe::Encrypted)).collect(), problems)
    }

    /// How a release spells a key that is not encrypted; else what is wrong, and what to do.
    fn recipe_of(&self, release: &str) -> Result<Recipe, (String, &'static str)> {
        let major = release.split('.').next().and_then(|major| major.parse::<u32>().ok());
        match major {
            Some(2..=5) if self.is_list() => Err((
                format!("release {release} knows no list as a key"),
                "write the text that it was, as `stats:{user}`",
            )),
            Some(2) if self.encryption.is_some() => {
                Err((format!("release {release} encrypts nothing"), "declare a cache for each release"))
            }
            Some(2) => Ok(Recipe::Stripped),
            Some(3..=6) => Ok(Recipe::Escaped),
            _ => Err((format!("the keys of release `{release}` are not known"), "known are 2.x to 6.x")),
        }
    }

    /// The keys of HMACs.
    fn secrets(&self, given: &Given<'_>) -> (Vec<AesKey>, Vec<Problem>) {
        let (mut keys, mut problems) = (Vec::new(), Vec::new());
        let Some(encryption) = &self.encryption else { return (keys, problems) };
        let path = ConfigPath::root().key("encryption");
        for (field, name, read) in encryption.named() {
            let path = path.key(field);
            match given.secret(path.clone(), name).map(|secret| read(secret.expose())) {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => {
                    let message = format!("the secret `{name}` is no AES key: those have 16, 24 or 32 bytes");
                    problems.push(Problem::error(path, message));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if keys.is_empty() && problems.is_empty() {
            let help = "declare the secret and name it, as `encryption: { first_16_of: django }`";
            problems.push(Problem::error(path, "encrypted keys need a secret").help(help));
        }
        (keys, problems)
    }
}

/// Reads a key from a secret's text.
type ReadKey = fn(&str) -> Option<AesKey>;

impl Encryption {
    /// Every name of a secret, where it stands, and how the secret is read.
    fn named(&self) -> impl Iterator<Item = (&'static str, &str, ReadKey)> {
        let fields: [(_, _, ReadKey); 3] = [
            ("key", &self.key, |text| AesKey::new(text.as_bytes())),
            ("hex_key", &self.hex_key, AesKey::from_hex),
            ("first_16_of", &self.first_16_of, |text| {
                AesKey::new(text.chars().take(16).collect::<String>().as_bytes())
            }),
        ];
        fields.into_iter().flat_map(|(field, names, read)| {
            let names = names.as_ref().map_or(&[][..], OneOrMany::as_slice);
            names.iter().map(move |name| (field, name.as_str(), read))
        })
    }
}

#[cfg(test)]
mod tests;
