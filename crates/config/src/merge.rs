//! Merges the files: sections unite by name, lists follow each other, scalars may repeat.

use std::collections::HashMap;

use super::ConfigPath;
use super::fault::Fault;
use super::node::{Entry, Node, Position, Value};
use super::scalar::shown;

/// One tree of all files, in their order. Of two that exclude each other the first stays.
pub(super) fn merge(roots: Vec<Node>) -> (Node, Vec<Fault>) {
    let position = roots.first().map_or(Position { file: 0, start: 0, end: 0 }, |root| root.position);
    let (mut sections, mut faults) = (Vec::new(), Vec::new());
    for root in roots {
        match root.value {
            // A section with all its lines commented out says nothing.
            Value::Mapping(entries) => unite(
                &mut sections,
                entries.into_iter().filter(|entry| entry.value.value != Value::Null),
                &mut |old, new| faults.extend(join(old, new)),
            ),
            Value::Null => {}
            _ => faults.push(Fault::at(root.position, "expected a mapping with the sections of the configuration")),
        }
    }
    (Node::new(Value::Mapping(sections), position), faults)
}

/// Adds what is new; `both` says what becomes of an entry whose key is there.
fn unite(old: &mut Vec<Entry>, new: impl Iterator<Item = Entry>, both: &mut dyn FnMut(&mut Entry, Entry)) {
    let known: HashMap<String, usize> = old.iter().map(|entry| entry.key.clone()).zip(0..).collect();
    for entry in new {
        match known.get(&entry.key).and_then(|index| old.get_mut(*index)) {
            Some(old) => both(old, entry),
            None => old.push(entry),
        }
    }
}

/// Joins a section with the same one of another file.
fn join(old: &mut Entry, new: Entry) -> Vec<Fault> {
    let path = ConfigPath::root().key(&new.key);
    let mut faults = Vec::new();
    let mut refuse = |new: Position, old: Position, path: ConfigPath, name: String, why| {
        faults.push(Fault::at(new, format!("`{name}` {why}")).path(path).also(old, "first here"));
    };
    match (&mut old.value.value, new.value.value) {
        (Value::Mapping(old), Value::Mapping(new)) => unite(old, new.into_iter(), &mut |old, new| {
            let name = path.key(shown(&new.key));
            refuse(new.key_position, old.key_position, name.clone(), name.to_string(), "is declared twice");
        }),
        (Value::List(old), Value::List(new)) => old.extend(new),
        (old, new) if *old == new => {}
        _ => refuse(new.key_position, old.key_position, path, shown(&new.key), "differs between files"),
    }
    faults
}
