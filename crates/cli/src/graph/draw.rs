//! Writes the graph of entities and caches as text, Mermaid or Graphviz, with every label escaped.

use std::collections::BTreeSet;

use quash_core::explain::Dependence;
use serde::Serialize;

use crate::output::escape_for_terminal;

/// What depends on what.
#[derive(Debug, Serialize)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Node {
    kind: Kind,
    name: String,
}

/// What a node stands for; each kind has a shape of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Entity,
    Relation,
    Cache,
}

/// From what changes to what goes stale, by their index among the nodes.
#[derive(Debug, Serialize)]
struct Edge {
    from: usize,
    to: usize,
    /// The operations that count; empty is all.
    ops: String,
    /// What the dependency reads of the rows, as [`Dependence::columns`].
    columns: Vec<String>,
    /// The columns of which one must have changed; empty is any change.
    changed: Vec<String>,
}

impl Graph {
    /// Puts the graph together from what [`quash_core::resolve::Resolver::graph`] gives; caches that nothing makes stale
    /// stand alone.
    pub(super) fn new(dependences: Vec<Dependence>, caches: &[String]) -> Self {
        let mut graph = Self { nodes: Vec::new(), edges: Vec::new() };
        for Dependence { from, to, ops, columns, changed } in dependences {
            let (from, to) = (graph.number(node(&from)), graph.number(node(&to)));
            graph.edges.push(Edge { from, to, ops, columns, changed });
        }
        for name in caches {
            graph.number(Node { kind: Kind::Cache, name: name.clone() });
        }
        graph
    }

    fn number(&mut self, node: Node) -> usize {
        self.nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// What changes first, and below it what goes stale because of it.
    pub(super) fn text(&self) -> String {
        let roots = (0..self.nodes.len()).filter(|index| !self.edges.iter().any(|edge| edge.to == *index));
        let (mut out, mut shown) = (String::new(), BTreeSet::new());
        for root in roots {
            let Node { kind, name } = &self.nodes[root];
            let alone = if *kind == Kind::Cache { "  (nothing makes it stale but direct commands)" } else { "" };
            out += &format!("{}{alone}\n", escape_for_terminal(name));
            self.branch(root, 1, &mut shown, &mut out);
        }
        out
    }

    /// A cache's own branch is shown once; the rules have no circles, so this ends.
    fn branch(&self, from: usize, depth: usize, shown: &mut BTreeSet<usize>, out: &mut String) {
        let mut edges = self.edges.iter().filter(|edge| edge.from == from).peekable();
        let indent = "  ".repeat(depth);
        if edges.peek().is_some() && !shown.insert(from) {
            *out += &format!("{indent}→ … as above\n");
            return;
        }
        for edge in edges {
            let ops = if edge.ops.is_empty() { String::new() } else { format!("  ({})", edge.ops) };
            *out += &format!("{indent}→ {}{ops}\n", escape_for_terminal(&self.nodes[edge.to].name));
            self.branch(edge.to, depth + 1, shown, out);
        }
    }

    pub(super) fn mermaid(&self) -> String {
        let mut out = "flowchart LR\n".to_owned();
        for (index, Node { kind, name }) in self.nodes.iter().enumerate() {
            let (open, close) = match kind {
                Kind::Entity => ("[(", ")]"),
                Kind::Relation => ("{{", "}}"),
                Kind::Cache => ("([", "])"),
            };
            out += &format!("  n{index}{open}\"{}\"{close}\n", mermaid_label(name));
        }
        for Edge { from, to, ops, .. } in &self.edges {
            let label = if ops.is_empty() { String::new() } else { format!("|\"{}\"|", mermaid_label(ops)) };
            out += &format!("  n{from} -->{label} n{to}\n");
        }
        out
    }

    pub(super) fn dot(&self) -> String {
        let mut out = "digraph quash {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
        for (index, Node { kind, name }) in self.nodes.iter().enumerate() {
            let shape = match kind {
                Kind::Entity => "cylinder",
                Kind::Relation => "hexagon",
                Kind::Cache => "box, style=rounded",
            };
            out += &format!("  n{index} [label=\"{}\", shape={shape}];\n", dot_label(name));
        }
        for Edge { from, to, ops, .. } in &self.edges {
            let label = if ops.is_empty() { String::new() } else { format!(" [label=\"{}\"]", dot_label(ops)) };
            out += &format!("  n{from} -> n{to}{label};\n");
        }
        out + "}\n"
    }
}

/// `row shop.Book`, `m2m shop.Book.tags` or `cache product`.
fn node(text: &str) -> Node {
    let (kind, name) = text.split_once(' ').unwrap_or(("", text));
    let kind = match kind {
        "cache" => Kind::Cache,
        "m2m" => Kind::Relation,
        _ => Kind::Entity,
    };
    Node { kind, name: name.to_owned() }
}

/// Mermaid has no backslashes: everything that could end a label or be taken for markup becomes its code.
fn mermaid_label(text: &str) -> String {
    escape_for_terminal(text).chars().fold(String::new(), |mut out, char| {
        if char.is_alphanumeric() || " .,:_-/→".contains(char) {
            out.push(char);
        } else {
            out += &format!("#{};", u32::from(char));
        }
        out
    })
}

fn dot_label(text: &str) -> String {
    escape_for_terminal(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Graph {
        let edge = |from: &str, to: &str, ops: &str| Dependence {
            from: from.to_owned(),
            to: to.to_owned(),
            ops: ops.to_owned(),
            ..Dependence::default()
        };
        let edges = vec![
            edge("row shop.Book", "cache page", "create, delete"),
            edge("m2m shop.Book.tags", "cache page", ""),
            edge("cache page", "cache \"home\"\\", ""),
        ];
        Graph::new(edges, &["page".to_owned(), "alone".to_owned()])
    }

    #[test]
    fn text_shows_what_goes_stale_below_what_changed() {
        let expect = "\
shop.Book
  → page  (create, delete)
    → \"home\"\\
shop.Book.tags
  → page
    → … as above
alone  (nothing makes it stale but direct commands)
";
        assert_eq!(example().text(), expect);
    }

    #[test]
    fn mermaid_labels_cannot_end_early() {
        let expect = "\
flowchart LR
  n0[(\"shop.Book\")]
  n1([\"page\"])
  n2{{\"shop.Book.tags\"}}
  n3([\"#34;home#34;#92;\"])
  n4([\"alone\"])
  n0 -->|\"create, delete\"| n1
  n2 --> n1
  n1 --> n3
";
        assert_eq!(example().mermaid(), expect);
    }

    #[test]
    fn dot_labels_cannot_end_early() {
        let dot = example().dot();
        assert!(dot.contains("n3 [label=\"\\\"home\\\"\\\\\", shape=box, style=rounded];"), "{dot}");
        assert!(dot.contains("n0 -> n1 [label=\"create, delete\"];"), "{dot}");
    }
}
