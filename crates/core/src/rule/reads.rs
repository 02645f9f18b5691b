//! Gathers which columns of the rows a dependency reads, so that publishers can be told what to send.

use std::collections::BTreeSet;

use cel::common::ast::operators::INDEX;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

use super::dependency::{Dependency, Origin};

/// The columns that a dependency's `map` and `when` read, as paths such as `author.country_id`; of a relation with its end,
/// as `to.slug`. Those of `changed` are not among them: no image has to carry them.
pub(crate) fn columns(dependency: &Dependency) -> BTreeSet<String> {
    let mapped = dependency.maps.iter().flatten().filter_map(|origin| match origin {
        Origin::Path(path) => Some(path.join(".")),
        Origin::Any | Origin::Constant(_) | Origin::Around(_) => None,
    });
    let mut paths = Vec::new();
    if let Some(condition) = &dependency.when {
        gather(condition.expression(), &mut paths);
    }
    let tested = paths.iter().filter_map(|path| match path.split_first()? {
        (_, []) => None,
        (image, column) if image == "before" || image == "after" => Some(column.join(".")),
        (end, _) if end == "from" || end == "to" => Some(path.join(".")),
        _ => None,
    });
    mapped.chain(tested).collect()
}

/// Adds the longest paths that an expression selects, each from its variable on.
fn gather(expr: &Expr, paths: &mut Vec<Vec<String>>) {
    if let Some(path) = path_of(expr) {
        paths.push(path);
        return;
    }
    match expr {
        Expr::Select(select) => gather(&select.operand.expr, paths),
        Expr::Call(call) => {
            let parts = call.target.iter().map(|target| &target.expr).chain(call.args.iter().map(|arg| &arg.expr));
            parts.for_each(|part| gather(part, paths));
        }
        Expr::List(list) => list.elements.iter().for_each(|element| gather(&element.expr, paths)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::StructField(field) => gather(&field.value.expr, paths),
            EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].iter().for_each(|part| gather(&part.expr, paths)),
        }),
        // Comprehensions and messages do not compile: their names are unknown.
        Expr::Comprehension(_) | Expr::Struct(_) | Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

/// The path of an expression that is one: `after.author`, `after["author"]`, and `to[0]`, which is any of `to`.
fn path_of(expr: &Expr) -> Option<Vec<String>> {
    let below = |operand: &Expr, step: Option<&str>| {
        let mut path = path_of(operand)?;
        path.extend(step.map(str::to_owned));
        Some(path)
    };
    match expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) => below(&select.operand.expr, Some(&select.field)),
        Expr::Call(call) if call.func_name == INDEX => match &call.args[..] {
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
