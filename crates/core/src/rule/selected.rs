//! Gathers the paths that a condition selects from its variables.

use cel::common::ast::operators::INDEX;
use cel::common::ast::{EntryExpr, Expr, LiteralValue};

/// Adds the longest paths that an expression selects, each from its variable on.
pub(super) fn gather(expr: &Expr, paths: &mut Vec<Vec<String>>) {
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
