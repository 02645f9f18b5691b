//! Holds the arguments of a cache: their names, the values of those that have few, and their types.

use super::key_set::Arg;
use super::python;
use super::{ArgSet, KeyError, KeySet};
use crate::event::{Type, Value};

/// The arguments of a cache, in the order of its key sets. At most [`super::MAX_ARGS`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Args(Vec<Declared>);

#[derive(Debug, Clone, PartialEq)]
struct Declared {
    name: String,
    /// All its values, where it has a small domain; not empty then.
    values: Option<Vec<Value<'static>>>,
    /// What it is in the application, where the cache says so.
    declared: Option<Type>,
}

impl Args {
    /// No argument.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an argument behind the others.
    pub fn push(&mut self, name: &str, values: Option<Vec<Value<'static>>>, declared: Option<Type>) {
        self.0.push(Declared { name: name.to_owned(), values, declared });
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> ArgSet {
        (0..self.len()).fold(ArgSet::EMPTY, ArgSet::with)
    }

    /// The name of an argument.
    #[must_use]
    pub fn name(&self, arg: usize) -> &str {
        &self.0[arg].name
    }

    /// The names, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|arg| arg.name.clone()).collect()
    }

    /// The place of the argument of this name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|arg| arg.name == name)
    }

    /// The places of these names; names that no argument has are left out.
    #[must_use]
    pub fn set_of<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> ArgSet {
        names.into_iter().filter_map(|name| self.position(name)).fold(ArgSet::EMPTY, ArgSet::with)
    }

    /// The declared type of an argument, which is more certain than the event's: it is the argument's, not the column's.
    #[must_use]
    pub fn declared(&self, arg: usize) -> Option<Type> {
        self.0[arg].declared
    }

    /// How many combinations enumerating these arguments gives; `None` when one of them cannot be enumerated, or there
    /// are too many to count.
    #[must_use]
    pub fn count(&self, enumerated: ArgSet) -> Option<usize> {
        enumerated.iter().try_fold(1_usize, |count, arg| count.checked_mul(self.0[arg].values.as_ref()?.len()))
    }

    /// Goes through every combination of the enumerated arguments, each with what is exact in the key set.
    ///
    /// # Errors
    /// The first that `each` gives.
    pub fn each(
        &self,
        key_set: &KeySet<'_>,
        enumerated: ArgSet,
        mut each: impl FnMut(&Filled<'_, '_>) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let count = self.count(enumerated).unwrap_or_default();
        (0..count).try_for_each(|index| each(&Filled { args: self, key_set, enumerated, index }))
    }

    /// What is exact in the key set, with nothing enumerated.
    #[must_use]
    pub fn filled<'f, 'v>(&'f self, key_set: &'f KeySet<'v>) -> Filled<'f, 'v> {
        Filled { args: self, key_set, enumerated: ArgSet::EMPTY, index: 0 }
    }
}

/// A key set with one combination of the arguments that are enumerated.
#[derive(Debug, Clone, Copy)]
pub struct Filled<'f, 'v> {
    args: &'f Args,
    key_set: &'f KeySet<'v>,
    enumerated: ArgSet,
    index: usize,
}

impl<'f, 'v: 'f> Filled<'f, 'v> {
    /// The value of an argument with its type; `None` is any.
    #[must_use]
    pub fn get(&self, arg: usize) -> Option<Arg<'f>> {
        let known = if self.enumerated.contains(arg) {
            self.enumerated_value(arg).map(Arg::from)
        } else {
            self.key_set.arg(arg)
        };
        known.map(|known| Arg { declared: self.args.declared(arg).or(known.declared), ..known })
    }

    /// The name of an argument.
    #[must_use]
    pub fn name(&self, arg: usize) -> &'f str {
        self.args.name(arg)
    }

    /// Appends `str()` of an argument as Python gives it; of one that is any, that of `None`.
    ///
    /// # Errors
    /// [`KeyError::Unspellable`].
    pub fn python_str(&self, arg: usize, out: &mut String) -> Result<(), KeyError> {
        let known = self.get(arg).unwrap_or(Arg { value: &Value::Null, declared: None });
        python::str(known, out).map_err(|why| KeyError::Unspellable { arg: self.name(arg).to_owned(), why })
    }

    /// The value of an enumerated argument in the combination of this index.
    fn enumerated_value(&self, wanted: usize) -> Option<&'f Value<'static>> {
        let mut index = self.index;
        for arg in self.enumerated.iter() {
            let values = self.args.0[arg].values.as_deref()?;
            if arg == wanted {
                return values.get(index % values.len());
            }
            index /= values.len().max(1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_gone_through_once() {
        let values = |values: &[i128]| Some(values.iter().copied().map(Value::Int).collect());
        let mut args = Args::new();
        args.push("a", values(&[1, 2]), None);
        args.push("b", None, None);
        args.push("c", values(&[3, 4, 5]), Some(Type::Float));
        let (six, mut key_set) = (Value::Int(6), KeySet::all(3));
        key_set.set(1, &six);
        let enumerated = args.set_of(["a", "c", "none"]);
        assert_eq!((args.count(enumerated), args.count(args.all())), (Some(6), None));
        let mut seen = Vec::new();
        let each = |filled: &Filled<'_, '_>| {
            let mut text = String::new();
            (0..3).try_for_each(|arg| filled.python_str(arg, &mut text))?;
            seen.push(text);
            Ok(())
        };
        assert_eq!(args.each(&key_set, enumerated, each), Ok(()));
        assert_eq!(seen, ["163.0", "263.0", "164.0", "264.0", "165.0", "265.0"]);
    }
}
