//! Records what schemes ask for, so that tests of libraries compare lists; holds what every scheme promises.

use std::borrow::Cow;

use super::library::{Given, Library};
use super::{ArgSet, Args, KeyError, KeySet, ReachBy, Remover, Scheme};
use crate::action::Write;
use crate::event::{Row, Type, Value};
use crate::glob::Glob;
use quash_config::Secret;

/// One thing that a scheme asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// One key.
    Delete(String),
    /// Every key that begins with this.
    DeletePrefix(String),
    /// Every key that matches this, in the syntax of Redis.
    DeletePattern(String),
    /// Another generation token.
    Bump(String),
    /// An integer.
    Set(String, Write),
    /// It could not be spelt, and why.
    Refused(String),
}

#[derive(Default)]
struct Recorder(Vec<Wish>);

impl Recorder {
    fn note(&mut self, wish: Wish) -> Result<(), KeyError> {
        self.0.push(wish);
        Ok(())
    }
}

impl Remover for Recorder {
    fn delete(&mut self, key: &str) -> Result<(), KeyError> {
        self.note(Wish::Delete(key.to_owned()))
    }

    fn delete_prefix(&mut self, prefix: &str) -> Result<(), KeyError> {
        self.note(Wish::DeletePrefix(prefix.to_owned()))
    }

    fn delete_pattern(&mut self, pattern: &Glob) -> Result<(), KeyError> {
        self.note(Wish::DeletePattern(pattern.text().to_owned()))
    }

    fn bump(&mut self, tag: &str) -> Result<(), KeyError> {
        self.note(Wish::Bump(tag.to_owned()))
    }

    fn set(&mut self, key: &str, write: Write) -> Result<(), KeyError> {
        self.note(Wish::Set(key.to_owned(), write))
    }
}

/// What a scheme asks for when these arguments are exact; checks that it is what the scheme said of it.
///
/// # Panics
/// When it is not, or an argument is unknown.
#[must_use]
pub(crate) fn wishes(scheme: &dyn Scheme, exact: &[(Cow<'_, str>, Value<'_>)], max_keys: usize) -> Vec<Wish> {
    let mut key_set = KeySet::all(scheme.args().len());
    for (name, value) in exact {
        match scheme.args().iter().position(|known| known == name) {
            Some(arg) => key_set.set(arg, value),
            None => panic!("no argument {name}, only {:?}", scheme.args()),
        }
    }
    let mut recorder = Recorder::default();
    let removed = scheme.remove(&key_set, max_keys, &mut String::new(), &mut recorder);
    keeps_its_word(scheme, key_set.exact(), max_keys, &recorder.0, removed.is_ok());
    recorder.0.extend(removed.err().map(|error| Wish::Refused(error.to_string())));
    recorder.0
}

/// What every scheme promises of a key set: as many actions as it said, of the kind that it said, never an empty prefix.
fn keeps_its_word(scheme: &dyn Scheme, exact: ArgSet, max_keys: usize, wishes: &[Wish], spelt: bool) {
    let reach = scheme.reach(exact, max_keys);
    assert_eq!(scheme.actions(exact, max_keys), reach.actions, "{reach:?}");
    assert!(!spelt || wishes.len() == reach.actions, "{} actions, not those of {reach:?}: {wishes:?}", wishes.len());
    assert!(!spelt || reach.by != ReachBy::Nothing, "what cannot be removed is refused: {reach:?}");
    for wish in wishes {
        let fits = match wish {
            // A token that is missing means stale as well; the entry itself may stand beside all that go on behind its key.
            Wish::Delete(_) => reach.by != ReachBy::Nothing,
            Wish::DeletePrefix(prefix) => {
                !prefix.is_empty() && matches!(reach.by, ReachBy::Prefix | ReachBy::Pattern | ReachBy::WholeCache)
            }
            Wish::DeletePattern(_) => matches!(reach.by, ReachBy::Pattern | ReachBy::WholeCache),
            Wish::Bump(_) | Wish::Set(..) => matches!(reach.by, ReachBy::Tag | ReachBy::WholeCache),
            Wish::Refused(_) => false,
        };
        assert!(fits, "{wish:?} does not fit {reach:?}");
    }
}

/// The scheme of a library's declaration, with the cache's `values`, `types` and `secrets` beside it.
///
/// # Errors
/// The problems, as `path: message`.
pub(crate) fn scheme_of<L: Library + serde::de::DeserializeOwned>(
    mut declared: serde_json::Value,
) -> Result<Box<dyn Scheme>, Vec<String>> {
    let mut take = |key: &str| declared.as_object_mut().and_then(|object| object.remove(key)).unwrap_or_default();
    let (values, types, secrets) = (take("values"), take("types"), take("secrets"));
    let config: L = serde_json::from_value(declared).unwrap();
    let mut args = Args::new();
    for name in config.args() {
        let values = values.get(&name).and_then(|values| values.as_array());
        let values = values.map(|values| values.iter().map(owned).collect());
        args.push(&name, values, types.get(&name).and_then(|named| named.as_str()).map(Type::named));
    }
    let secret = |(name, text): (&String, &serde_json::Value)| (name.clone(), Secret::new(text.as_str().unwrap()));
    let secrets = secrets.as_object().into_iter().flatten().map(secret).collect();
    let (scheme, problems) = config.scheme(Given { args, secrets: &secrets, max_key_bytes: 4096 });
    scheme.ok_or_else(|| problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect())
}

/// What the scheme of a declaration asks for when these arguments are exact.
///
/// # Panics
/// When the declaration is refused.
#[must_use]
pub(crate) fn asked_of<L: Library + serde::de::DeserializeOwned>(
    declared: serde_json::Value,
    exact: &serde_json::Value,
) -> Vec<Wish> {
    let scheme = scheme_of::<L>(declared).unwrap_or_else(|problems| panic!("{problems:?}"));
    let Value::Object(Row(columns)) = owned(exact) else { panic!("{exact} is no object") };
    wishes(&*scheme, &columns, 100)
}

fn owned(json: &serde_json::Value) -> Value<'static> {
    serde_json::from_str::<Value<'_>>(&json.to_string()).unwrap().into_owned()
}

/// Whether a key goes with one of these wishes.
#[must_use]
pub(crate) fn goes(key: &str, wishes: &[Wish]) -> bool {
    wishes.iter().any(|wish| match wish {
        Wish::Delete(deleted) => deleted == key,
        Wish::DeletePrefix(prefix) => key.starts_with(prefix.as_str()),
        Wish::DeletePattern(pattern) => Glob::parse(pattern).is_some_and(|glob| glob.matcher().matches(key.as_bytes())),
        Wish::Bump(_) | Wish::Set(..) | Wish::Refused(_) => false,
    })
}
