//! Merges the files: sections unite by name, lists follow each other, scalars may repeat.

use super::ConfigPath;
use super::fault::Fault;
use super::node::{Entry, Node, Place, Value};
use super::scalar::shown;

/// One tree of all files, in their order. Of two that exclude each other the first stays.
pub(super) fn merge(roots: Vec<Node>) -> (Node, Vec<Fault>) {
    let place = roots.first().map_or(Place { file: 0, start: 0, end: 0 }, |root| root.place);
    let (mut merged, mut faults) = (Vec::new(), Vec::new());
    for root in roots {
        match root.value {
            Value::Mapping(entries) => entries.into_iter().for_each(|entry| add(&mut merged, entry, &mut faults)),
            Value::Null => {}
            _ => faults.push(Fault::at(root.place, "expected a mapping with the sections of the configuration")),
        }
    }
    (Node::new(Value::Mapping(merged), place), faults)
}

fn add(merged: &mut Vec<Entry>, new: Entry, faults: &mut Vec<Fault>) {
    // A section with all its lines commented out.
    if new.value.value == Value::Null {
        return;
    }
    let Some(old) = merged.iter_mut().find(|old| old.key == new.key) else {
        merged.push(new);
        return;
    };
    let path = ConfigPath::root().key(&new.key);
    match (&mut old.value.value, new.value.value) {
        (Value::Mapping(old), Value::Mapping(new)) => unite(old, new, &path, faults),
        (Value::List(old), Value::List(new)) => old.extend(new),
        (old, new) if *old == new => {}
        _ => {
            let fault = Fault::at(new.key_place, format!("`{}` differs between files", shown(&new.key))).path(path);
            faults.push(fault.also(old.key_place, "first here"));
        }
    }
}

fn unite(old: &mut Vec<Entry>, new: Vec<Entry>, path: &ConfigPath, faults: &mut Vec<Fault>) {
    let known: std::collections::HashMap<String, Place> =
        old.iter().map(|entry| (entry.key.clone(), entry.key_place)).collect();
    for entry in new {
        if let Some(first) = known.get(&entry.key) {
            let name = path.key(shown(&entry.key));
            faults.push(
                Fault::at(entry.key_place, format!("`{name}` is declared twice")).path(name).also(*first, "first here"),
            );
        } else {
            old.push(entry);
        }
    }
}
