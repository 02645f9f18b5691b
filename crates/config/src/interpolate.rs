//! Puts the environment into the values that may see it: `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `VAR_FILE`.

use super::environment::Environment;
use super::fault::Fault;
use super::node::{Node, Origin, Value};
use super::scalar::shown;
use super::{ConfigPath, Problem};

/// Resolves every reference below these sections. A value with a reference that cannot be resolved is dropped.
pub(super) fn interpolate(root: &mut Node, sections: &[&str], environment: &dyn Environment) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Value::Mapping(entries) = &mut root.value {
        for entry in entries.iter_mut().filter(|entry| sections.contains(&entry.key.as_str())) {
            walk(&mut entry.value, &ConfigPath::root().key(&entry.key), environment, &mut faults);
        }
    }
    faults
}

fn walk(node: &mut Node, path: &ConfigPath, environment: &dyn Environment, faults: &mut Vec<Fault>) {
    match &mut node.value {
        Value::Mapping(entries) => {
            entries.iter_mut().for_each(|entry| walk(&mut entry.value, &path.key(&entry.key), environment, faults));
        }
        Value::List(items) => {
            items
                .iter_mut()
                .enumerate()
                .for_each(|(position, item)| walk(item, &path.index(position), environment, faults));
        }
        Value::Text(text) if text.contains('$') => match expand(text, environment) {
            Ok((resolved, origin)) => (node.value, node.origin) = (Value::Text(resolved), origin),
            Err(problem) => {
                faults.push(Fault { problem: problem.below(path), position: Some(node.position), also: None });
                node.dropped = true;
            }
        },
        _ => {}
    }
}

/// The text with its references resolved, and where the outcome comes from. A problem holds nothing from the environment.
fn expand(text: &str, environment: &dyn Environment) -> Result<(String, Origin), Problem> {
    let (mut out, mut origin, mut rest) = (String::new(), Origin::Written, text);
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = after.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix("${") {
            let (reference, after) = after.split_once('}').ok_or_else(|| refused("`${` without its `}`"))?;
            let (value, found) = Reference::parse(reference)?.resolve(environment)?;
            out.push_str(&value);
            // Once from the environment, always from the environment.
            origin = if origin == Origin::Environment { origin } else { found };
            rest = after;
        } else {
            out.push('$');
            rest = &after[1..];
        }
    }
    out.push_str(rest);
    Ok((out, origin))
}

/// What stands between `${` and `}`.
struct Reference<'a> {
    name: &'a str,
    otherwise: Otherwise<'a>,
}

/// What counts when the variable is not set.
enum Otherwise<'a> {
    /// That is wrong.
    Missing,
    /// A default, also when it is empty.
    Default(&'a str),
    /// That is wrong, also when it is empty, and the file says why.
    Message(&'a str),
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Result<Self, Problem> {
        let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let otherwise = match (rest, rest.strip_prefix(":-"), rest.strip_prefix(":?")) {
            ("", ..) => Otherwise::Missing,
            (_, Some(default), _) if !default.contains("${") => Otherwise::Default(default),
            (_, _, Some(message)) => Otherwise::Message(message),
            _ => return Err(no_reference()),
        };
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(no_reference());
        }
        Ok(Self { name, otherwise })
    }

    fn resolve(&self, environment: &dyn Environment) -> Result<(String, Origin), Problem> {
        let value = self.lookup(environment)?;
        match (value, &self.otherwise) {
            (Some(value), Otherwise::Missing) => Ok((value, Origin::Environment)),
            (Some(value), _) if !value.is_empty() => Ok((value, Origin::Environment)),
            (_, Otherwise::Default(default)) => Ok(((*default).to_owned(), Origin::Default)),
            (_, Otherwise::Message(message)) => Err(self.missing(message)),
            (None, Otherwise::Missing) => Err(self.missing("")),
        }
    }

    /// The variable itself, else the content of the file that `<name>_FILE` names.
    fn lookup(&self, environment: &dyn Environment) -> Result<Option<String>, Problem> {
        if let Some(value) = environment.get(self.name) {
            return Ok(Some(value));
        }
        let Some(file) = environment.get(&format!("{}_FILE", self.name)).filter(|file| !file.is_empty()) else {
            return Ok(None);
        };
        match environment.read(&file) {
            Ok(content) => Ok(Some(content.trim().to_owned())),
            // Not the error's own words: they may name the file, which is a value from the environment.
            Err(error) => {
                Err(refused(&format!("cannot read the file that {}_FILE names: {}", self.name, error.kind())))
            }
        }
    }

    fn missing(&self, message: &str) -> Problem {
        let why = if message.is_empty() { String::new() } else { format!(": {}", shown(message)) };
        let help = format!("set {0} or {0}_FILE, or write a default as ${{{0}:-default}}", self.name);
        refused(&format!("the variable {} is not set{why}", self.name)).help(help)
    }
}

fn refused(message: &str) -> Problem {
    Problem::error(ConfigPath::root(), message)
}

fn no_reference() -> Problem {
    refused("this is no reference to a variable")
        .help("write ${VAR}, ${VAR:-default} or ${VAR:?message}, and $$ for a dollar sign")
}
