//! Gathers which columns of the rows a dependency reads, so that publishers can be told what to send.

use std::collections::BTreeSet;

use cel::common::ast::operators::{INDEX, OPT_INDEX};
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

use super::dependency::{Dependency, Origin};

/// The columns that a dependency's `map` and `when` read, as paths such as `author.country_id`; of a relation with its end,
/// as `to.slug`. Those of `changed` are not among them: no image has to carry them.
pub(crate) fn columns(dependency: &Dependency) -> BTreeSet<String> {
    let mapped = dependency.maps.iter().flatten().filter_map(|origin| match origin {
        Origin::Path(path) => Some(path.join(".")),
        Origin::Any | Origin::Constant(_) => None,
    });
    let images: &[&str] = if dependency.relation.is_some() { &["from", "to"] } else { &["before", "after"] };
    let mut paths = Vec::new();
    if let Some(condition) = &dependency.when {
        gather(condition.expression(), &mut Vec::new(), &mut paths);
    }
    let tested = paths.iter().filter_map(|path| {
        let (image, column) = path.split_first().filter(|(_, column)| !column.is_empty())?;
        let is_relation = dependency.relation.is_some();
        images.contains(&image.as_str()).then(|| if is_relation { path.join(".") } else { column.join(".") })
    });
    mapped.chain(tested).collect()
}

/// What a variable of a macro stands for: in `to.exists(tag, …)` one of `to`.
type Alias<'a> = (&'a str, Option<Vec<String>>);

/// Adds the longest paths that an expression selects, each from its variable on.
fn gather<'a>(expr: &'a Expr, aliases: &mut Vec<Alias<'a>>, paths: &mut Vec<Vec<String>>) {
    if let Some(path) = path_of(expr, aliases) {
        paths.push(path);
        return;
    }
    match expr {
        Expr::Select(select) => gather(&select.operand.expr, aliases, paths),
        Expr::Call(call) => {
            let parts = call.target.iter().map(|target| &target.expr).chain(call.args.iter().map(|arg| &arg.expr));
            parts.for_each(|part| gather(part, aliases, paths));
        }
        Expr::List(list) => list.elements.iter().for_each(|element| gather(&element.expr, aliases, paths)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| gather_entry(&entry.expr, aliases, paths)),
        Expr::Struct(made) => made.entries.iter().for_each(|entry| gather_entry(&entry.expr, aliases, paths)),
        Expr::Comprehension(each) => {
            gather(&each.iter_range.expr, aliases, paths);
            gather(&each.accu_init.expr, aliases, paths);
            let (outside, ranged) = (aliases.len(), path_of(&each.iter_range.expr, aliases));
            aliases.push((&each.accu_var, None));
            aliases.push((&each.iter_var, ranged));
            aliases.extend(each.iter_var2.iter().map(|name| (name.as_str(), None)));
            [&each.loop_cond, &each.loop_step, &each.result].iter().for_each(|part| gather(&part.expr, aliases, paths));
            aliases.truncate(outside);
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

fn gather_entry<'a>(entry: &'a EntryExpr, aliases: &mut Vec<Alias<'a>>, paths: &mut Vec<Vec<String>>) {
    match entry {
        EntryExpr::StructField(field) => gather(&field.value.expr, aliases, paths),
        EntryExpr::MapEntry(entry) => {
            gather(&entry.key.expr, aliases, paths);
            gather(&entry.value.expr, aliases, paths);
        }
    }
}

/// The path of an expression that is one: `after.author`, `after["author"]`, and `to[0]`, which is any of `to`.
fn path_of(expr: &Expr, aliases: &[Alias<'_>]) -> Option<Vec<String>> {
    let below = |operand: &Expr, step: Option<&str>| {
        let mut path = path_of(operand, aliases)?;
        path.extend(step.map(str::to_owned));
        Some(path)
    };
    match expr {
        Expr::Ident(name) => match aliases.iter().rev().find(|(alias, _)| alias == name) {
            Some((_, path)) => path.clone(),
            None => Some(vec![name.clone()]),
        },
        Expr::Select(select) => below(&select.operand.expr, Some(&select.field)),
        Expr::Call(call) if [INDEX, OPT_INDEX].contains(&call.func_name.as_str()) => match &call.args[..] {
            [operand, index] => match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => below(&operand.expr, Some(name.inner())),
                Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)) => below(&operand.expr, None),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
