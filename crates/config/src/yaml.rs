//! Parses YAML into a tree that remembers where each value stands; the only module that knows the parser.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};

use super::fault::Fault;
use super::node::{Entry, Node, Position, Value};
use super::scalar;

/// Levels of nested mappings and lists; more than any configuration needs, and few enough to walk by recursion.
const DEPTH_MAX: usize = 100;

/// What all aliases of a file may add to the tree, in bytes. It bounds what a few lines of nested aliases can ask for.
const ALIAS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an alias costs for each value beside its text.
const NODE_BYTES: usize = 96;

/// What came of parsing one file.
pub(super) struct Parsed {
    /// The document; `None` when the file is empty or broken.
    pub(super) root: Option<Node>,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// Whether the parser gave up before the end.
    pub(super) broken: bool,
}

impl Parsed {
    /// A file of which nothing can be used.
    pub(super) fn broken(why: Fault) -> Self {
        Self { root: None, faults: vec![why], broken: true }
    }
}

/// Parses one file.
pub(super) fn parse(text: &str, file: u32) -> Parsed {
    let mut composer = Composer { file, ..Composer::default() };
    for next in Parser::new_from_str_with_options(text, granit_parser::options! { disallow_directives: true }) {
        let step = match next {
            Ok((event, span)) => composer.event(event, composer.position(&span)),
            Err(error) => Err(Box::new(composer.syntax(text, &error))),
        };
        if let Err(fault) = step {
            composer.faults.push(*fault);
            return Parsed { root: None, faults: composer.faults, broken: true };
        }
    }
    Parsed { root: composer.root, faults: composer.faults, broken: false }
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct Composer {
    file: u32,
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    alias_bytes: usize,
    faults: Vec<Fault>,
}

/// A mapping or list whose end was not seen yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The levels below it so far.
    height: usize,
    /// Of a mapping: the key that waits for its value.
    key: Option<(String, Position)>,
    /// Of a mapping: where each key stands in it.
    keys: HashMap<String, usize>,
    /// Of a mapping: what `<<` brings in, to be added where its own keys leave room.
    merged: Vec<Node>,
}

/// A value that aliases can name.
struct Anchored {
    node: Node,
    height: usize,
    bytes: usize,
}

type Step = Result<(), Box<Fault>>;

impl Composer {
    fn position(&self, span: &granit_parser::Span) -> Position {
        Position { file: self.file, start: byte(&span.start), end: byte(&span.end) }
    }

    fn syntax(&self, text: &str, error: &granit_parser::ScanError) -> Fault {
        let start = byte(error.marker()).min(u32::try_from(text.len()).unwrap_or(u32::MAX));
        let position = Position { file: self.file, start, end: start.saturating_add(1) };
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => Fault::at(position, too_deep()),
            _ => Fault::at(position, format!("this is not valid YAML: {}", error.info())),
        }
    }

    fn event(&mut self, event: Event<'_>, position: Position) -> Step {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(Box::new(Fault::at(position, "a file holds one document").help("write it as a file of its own")))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text.into_owned(), style, tag.as_deref(), position);
                self.node(value, anchor, 0)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(Value::List(Vec::new()), anchor, tag.as_deref(), position)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.start(Value::Mapping(Vec::new()), anchor, tag.as_deref(), position)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(position),
            Event::Alias(anchor) => self.alias(anchor, position),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, position: Position) -> Node {
        self.tag(tag, position);
        let as_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.core_suffix() == Some("str"));
        Node::new(if as_text { Value::Text(text) } else { scalar::resolve(text) }, position)
    }

    fn tag(&mut self, tag: Option<&Tag>, position: Position) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.faults.push(Fault::at(position, format!("the tag `{}` means nothing here", tag.original())));
        }
    }

    fn start(&mut self, value: Value, anchor: usize, tag: Option<&Tag>, position: Position) -> Step {
        self.tag(tag, position);
        if self.open.len() >= DEPTH_MAX {
            return refuse(position, &too_deep());
        }
        let node = Node::new(value, position);
        self.open.push(Open { node, anchor, height: 0, key: None, keys: HashMap::new(), merged: Vec::new() });
        Ok(())
    }

    fn end(&mut self, position: Position) -> Step {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (anchor, height) = (open.anchor, open.height + 1);
        let mut node = open.close();
        node.position.end = node.position.end.max(position.end);
        self.node(node, anchor, height)
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Step {
        let Some(anchored) = self.anchors.get(&anchor) else {
            return refuse(position, "this alias names the value that it stands in");
        };
        if self.open.len() + anchored.height > DEPTH_MAX {
            return refuse(position, &too_deep());
        }
        let (bytes, height, node) = (anchored.bytes, anchored.height, anchored.node.clone());
        self.spend(bytes, position)?;
        self.node(node, 0, height)
    }

    fn spend(&mut self, bytes: usize, position: Position) -> Step {
        self.alias_bytes = self.alias_bytes.saturating_add(bytes);
        if self.alias_bytes > ALIAS_BYTES_MAX {
            return refuse(position, "the anchors and aliases of this file add too much");
        }
        Ok(())
    }

    /// Puts a finished value where it belongs.
    fn node(&mut self, node: Node, anchor: usize, height: usize) -> Step {
        if anchor != 0 {
            let bytes = weight(&node);
            // A copy is kept, which costs as much as an alias: nested anchors add up in the same way.
            self.spend(bytes, node.position)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), height, bytes });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.height = open.height.max(height);
        open.take(node, &mut self.faults)
    }
}

impl Open {
    fn take(&mut self, node: Node, faults: &mut Vec<Fault>) -> Step {
        match &mut self.node.value {
            Value::List(items) => items.push(node),
            _ => match self.key.take() {
                None => self.key = Some(key(&node)?),
                Some((key, _)) if key == "<<" => self.merge(node, faults),
                Some((key, position)) => self.insert(Entry { key, key_position: position, value: node }, faults),
            },
        }
        Ok(())
    }

    fn insert(&mut self, entry: Entry, faults: &mut Vec<Fault>) {
        let Value::Mapping(entries) = &mut self.node.value else { return };
        if let Some(first) = self.keys.get(&entry.key).and_then(|position| entries.get(*position)) {
            let fault = Fault::at(entry.key_position, format!("`{}` is written twice", scalar::shown(&entry.key)));
            faults.push(fault.also(first.key_position, "first here"));
            return;
        }
        self.keys.insert(entry.key.clone(), entries.len());
        entries.push(entry);
    }

    fn merge(&mut self, node: Node, faults: &mut Vec<Fault>) {
        let position = node.position;
        let parts = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        for part in parts {
            if matches!(part.value, Value::Mapping(_)) {
                self.merged.push(part);
            } else {
                faults.push(Fault::at(position, "`<<` takes a mapping, or a list of mappings"));
            }
        }
    }

    /// The finished value; what `<<` brought in never replaces a key of its own.
    fn close(mut self) -> Node {
        for part in std::mem::take(&mut self.merged) {
            let Value::Mapping(entries) = part.value else { continue };
            for entry in entries {
                if !self.keys.contains_key(&entry.key) {
                    self.insert(entry, &mut Vec::new());
                }
            }
        }
        self.node
    }
}

fn key(node: &Node) -> Result<(String, Position), Box<Fault>> {
    let text = match &node.value {
        Value::Text(text) | Value::Number(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null => return refuse(node.position, "a key is missing here"),
        _ => return refuse(node.position, "a key must be text, not a list or a mapping"),
    };
    Ok((text, node.position))
}

/// Text has bytes everywhere.
fn byte(marker: &Marker) -> u32 {
    u32::try_from(marker.byte_offset().unwrap_or(0)).unwrap_or(u32::MAX)
}

fn too_deep() -> String {
    format!("more than {DEPTH_MAX} mappings and lists inside each other")
}

fn refuse<T>(position: Position, message: &str) -> Result<T, Box<Fault>> {
    Err(Box::new(Fault::at(position, message)))
}

/// Bytes that a copy of a value takes, roughly.
fn weight(node: &Node) -> usize {
    let below: usize = match &node.value {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Mapping(entries) => entries.iter().map(|entry| entry.key.len() + weight(&entry.value)).sum(),
        Value::Null | Value::Bool(_) => 0,
    };
    NODE_BYTES + below
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text is refused for.
    fn refused(text: &str) -> String {
        let parsed = parse(text, 0);
        assert!(parsed.root.is_none() && parsed.broken, "accepted");
        parsed.faults.into_iter().map(|fault| fault.problem.message).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn nested_aliases_cannot_fill_the_memory() {
        let levels =
            (1..30).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
        let bomb: String = std::iter::once("a0: &a0 [x, x, x, x]\n".to_owned()).chain(levels).collect();
        assert_eq!(refused(&bomb), "the anchors and aliases of this file add too much");
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), "*a, ".repeat(10_000));
        assert_eq!(refused(&long), "the anchors and aliases of this file add too much");
    }

    #[test]
    fn nesting_has_a_limit_also_through_aliases() {
        let too_deep = "more than 100 mappings and lists inside each other";
        assert_eq!(refused(&format!("{}{}", "[".repeat(101), "]".repeat(101))), too_deep);
        assert_eq!(refused(&(0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>()), too_deep);
        let chain: String = (1..200).map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1)).collect();
        assert_eq!(refused(&format!("a0: &a0 []\n{chain}")), too_deep);
        assert!(parse(&format!("{}{}", "[".repeat(100), "]".repeat(100)), 0).faults.is_empty());
    }

    #[test]
    fn every_key_and_value_knows_where_it_was_written() {
        let text = "é: 1\nb:\n  - 'x y'\n";
        let root = parse(text, 0).root.expect(text);
        let written = |position: Position| &text[position.start as usize..position.end as usize];
        assert_eq!(written(root.entries()[0].key_position), "é");
        assert_eq!(written(root.entries()[0].value.position), "1");
        let Value::List(items) = &root.entries()[1].value.value else { panic!("{root:?}") };
        assert_eq!(written(items[0].position), "'x y'");
    }
}
