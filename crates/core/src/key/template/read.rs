//! Reads from a key the arguments that it was spelt from, where that can be told without doubt.

use super::{Part, Template};

impl Template {
    /// The text of each argument in a key, by its place among the arguments of the cache. `None` where the key is none of the
    /// template, or could be spelt from other arguments as well, and where an argument stands behind a filter or a format alone.
    #[must_use]
    pub(super) fn read<'k>(&self, key: &'k str) -> Option<Vec<(usize, &'k str)>> {
        let (gaps, literals) = self.split();
        let (first, rest) = literals.split_first()?;
        let inside = key.strip_prefix(*first)?;
        let (end, between) = match (gaps.len(), rest.split_last()) {
            (0, _) => return inside.is_empty().then(Vec::new),
            (_, Some((end, between))) => (*end, between),
            (_, None) => return None,
        };
        let inside = inside.strip_suffix(end)?;
        let texts = early(inside, between)?;
        if texts != late(inside, between)? {
            return None;
        }
        let mut args: Vec<(usize, &str)> = Vec::with_capacity(gaps.len());
        for (gap, text) in gaps.iter().zip(texts) {
            let Some(arg) = *gap else { continue };
            match args.iter().find(|(known, _)| *known == arg) {
                Some((_, other)) if *other != text => return None,
                Some(_) => {}
                None => args.push((arg, text)),
            }
        }
        Some(args)
    }

    /// The arguments that are spelt as they are, `None` for others, and the texts around each of them.
    fn split(&self) -> (Vec<Option<usize>>, Vec<&str>) {
        let (mut gaps, mut literals): (Vec<_>, Vec<&str>) = (Vec::new(), vec![""]);
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    literals.pop();
                    literals.push(text);
                }
                Part::Arg { arg, format, filters, .. } => {
                    gaps.push((format.is_plain() && filters.is_empty()).then_some(*arg));
                    literals.push("");
                }
            }
        }
        (gaps, literals)
    }
}

/// The texts between these, each as short as it can be from the left.
fn early<'k>(mut inside: &'k str, between: &[&str]) -> Option<Vec<&'k str>> {
    let mut texts = Vec::with_capacity(between.len() + 1);
    for literal in between.iter().map(|literal| (!literal.is_empty()).then_some(*literal)) {
        let (text, rest) = inside.split_once(literal?)?;
        texts.push(text);
        inside = rest;
    }
    texts.push(inside);
    Some(texts)
}

/// The same from the right: where both agree there is no third way.
fn late<'k>(mut inside: &'k str, between: &[&str]) -> Option<Vec<&'k str>> {
    let mut texts = Vec::with_capacity(between.len() + 1);
    for literal in between.iter().rev() {
        let (rest, text) = inside.rsplit_once(literal)?;
        texts.push(text);
        inside = rest;
    }
    texts.push(inside);
    texts.reverse();
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_where_there_is_one_way_to_spell_the_key() {
        let check = |template: &str, key: &str, expect: Option<&[(usize, &str)]>| {
            let names = Template::names(template);
            let read = Template::parse(template, &names).unwrap().read(key);
            assert_eq!(read.as_deref(), expect, "{template} {key}");
        };
        check("product:{id}", "product:42", Some(&[(0, "42")]));
        check("product:{id}", "product:", Some(&[(0, "")]));
        check("product:{id}", "page:42", None);
        check("a:{x}:{y}:z", "a:1:2:z", Some(&[(0, "1"), (1, "2")]));
        check("a:{x}:{y}:z", "a:1:2:3:z", None);
        check("a:{x}:{y}:z", "a:1:2", None);
        check("a:{x}{y}", "a:12", None);
        check("a:{x}-{x}", "a:1-1", Some(&[(0, "1")]));
        check("a:{x}-{x}", "a:1-2", None);
        check("a:{x}:{x|md5}", "a:1:c4ca", Some(&[(0, "1")]));
        check("a:{x|lower}", "a:b", Some(&[]));
        check("all", "all", Some(&[]));
        check("all", "alle", None);
        check("a:{x}:b:{y}", "a:1:b:2:b:3", None);
    }
}
