//! Evaluates `when` conditions: CEL, compiled once, over what an event knows.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::Expr;
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Program};

use super::around::{self, Around};
use super::known::Side;
use super::selected::gather;
use crate::event::{Event, Op, Row, Value};

/// The environment of every condition: CEL's standard functions and macros.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// The functions of CEL's standard library that can be called by name; operators have names of their own.
const FUNCTIONS: [&str; 14] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "max",
    "min",
];

/// What a condition says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Truth {
    Yes,
    No,
    /// It needs a column that the event does not carry.
    Unknown,
}

/// A compiled condition.
pub(crate) struct Condition {
    source: String,
    program: Program,
    /// The columns it reads of each image; `None` reads an image as a whole.
    columns: [Option<Vec<String>>; 2],
}

/// The names of the images, in the order of [`Condition::columns`].
const IMAGES: [&str; 2] = ["before", "after"];

impl std::fmt::Debug for Condition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.source)
    }
}

impl Condition {
    /// Compiles a condition that may use these variables.
    ///
    /// # Errors
    /// What is wrong, and how to mend it.
    pub(crate) fn compile(source: &str, variables: &[&str]) -> Result<Self, (String, Option<String>)> {
        let program = ENVIRONMENT
            .compile(source)
            .map_err(|error| (format!("the condition is not CEL: {}", first_line(&error.to_string())), None))?;
        let references = program.references();
        let unknown = |what: &str, name: &str, known: &[&str]| {
            let help = quash_config::nearest(name, known.iter().copied())
                .map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            (format!("the condition uses an unknown {what} `{name}`"), Some(help))
        };
        let mut names = references.variables();
        names.sort_unstable();
        if let Some(name) = names.iter().find(|name| !variables.contains(*name)) {
            return Err(unknown("name", name, variables));
        }
        let mut functions = references.functions();
        functions.sort_unstable();
        let by_name = |name: &&&str| name.starts_with(|first: char| first.is_ascii_alphabetic());
        if let Some(name) = functions.iter().filter(by_name).find(|name| !FUNCTIONS.contains(name)) {
            return Err(unknown("function", name, &FUNCTIONS));
        }
        let columns = IMAGES.map(|image| {
            let mut columns = Some(Vec::new());
            columns_of(&program.expression().expr, image, &mut columns);
            columns
        });
        Ok(Self { source: source.to_owned(), program, columns })
    }

    /// The condition as it is written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it asks for what stands around the event.
    pub(crate) fn reads_around(&self) -> bool {
        self.program.references().variables().contains(&around::WORD)
    }

    /// The longest paths that it selects, each from its variable on.
    pub(super) fn selected(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        gather(&self.program.expression().expr, &mut paths);
        paths
    }

    /// Evaluates the condition on an event.
    ///
    /// # Errors
    /// When it compares what cannot be compared, or gives neither true nor false.
    pub(crate) fn evaluate(&self, event: &Event<'_>, around: &Around<'_>) -> Result<Truth, String> {
        let variables = Variables { condition: self, event, around };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&variables);
        match self.program.execute(&context) {
            Ok(cel::Value::Bool(true)) => Ok(Truth::Yes),
            Ok(cel::Value::Bool(false)) => Ok(Truth::No),
            Ok(other) => Err(format!("condition `{}` gave {}, not true or false", self.source, other.type_of())),
            Err(ExecutionError::NoSuchKey(_)) => Ok(Truth::Unknown),
            // `before.price > 10` in a create: null can be compared for equality alone, and a rule must not have to say so.
            Err(_) if self.reads_absent(event.op) => Ok(Truth::Unknown),
            Err(error) => Err(format!("condition `{}`: {}", self.source, first_line(&error.to_string()))),
        }
    }

    /// Whether it reads an image that the operation does not have.
    fn reads_absent(&self, op: Op) -> bool {
        let reads = |image: usize| self.columns[image].as_ref().is_none_or(|columns| !columns.is_empty());
        match op {
            Op::Create => reads(0),
            Op::Delete => reads(1),
            _ => false,
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// Gathers the columns that an expression selects from an image; `None` once it uses the image in any other way.
fn columns_of(expr: &Expr, image: &str, columns: &mut Option<Vec<String>>) {
    match expr {
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(name) if name == image => {
                if let Some(columns) = columns {
                    columns.push(select.field.clone());
                }
            }
            operand => columns_of(operand, image, columns),
        },
        Expr::Ident(name) if name == image => *columns = None,
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &target.expr);
            target.chain(call.args.iter().map(|arg| &arg.expr)).for_each(|arg| columns_of(arg, image, columns));
        }
        Expr::List(list) => list.elements.iter().for_each(|element| columns_of(&element.expr, image, columns)),
        // Macros, maps and the like: rare enough to hand over the whole image.
        Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => *columns = None,
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
    }
}

struct Variables<'c> {
    condition: &'c Condition,
    event: &'c Event<'c>,
    around: &'c Around<'c>,
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let event = self.event;
        let value = match variable {
            "before" => self.image(0, Side::before(event), event.op == Op::Create),
            "after" => self.image(1, Side::after(event), event.op == Op::Delete),
            "key" => row(&event.key),
            "op" => event.op.name().into(),
            "entity" => event.entity.as_ref().into(),
            "changed" => match &event.changed {
                Some(columns) => columns.iter().map(|name| cel::Value::from(name.as_ref())).collect::<Vec<_>>().into(),
                None => cel::Value::Null,
            },
            around::WORD => row(&self.around.row()),
            "from" => row(&event.relation.as_ref()?.from),
            "to" => event.relation.as_ref()?.to.iter().map(row).collect::<Vec<_>>().into(),
            _ => return None,
        };
        value.try_into().ok().map(CowVal::Owned)
    }
}

impl Variables<'_> {
    /// An image with the columns that the condition reads, as far as they are known. Where the operation has no such image
    /// every column is null; where the event merely does not carry one, what is not known otherwise is left out.
    fn image(&self, which: usize, side: Side<'_>, absent: bool) -> cel::Value {
        let Some(columns) = &self.condition.columns[which] else {
            return match side.image() {
                Some(image) => row(image),
                None if absent => cel::Value::Null,
                None => HashMap::<String, cel::Value>::new().into(),
            };
        };
        let column = |name: &String| match side.at(&[name]) {
            _ if absent => Some((name.clone(), cel::Value::Null)),
            value => Some((name.clone(), cel_value(value?))),
        };
        columns.iter().filter_map(column).collect::<HashMap<_, _>>().into()
    }
}

fn row(row: &Row<'_>) -> cel::Value {
    row.0.iter().map(|(name, value)| (name.to_string(), cel_value(value))).collect::<HashMap<_, _>>().into()
}

fn cel_value(value: &Value<'_>) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Int(number) => i64::try_from(*number)
            .map(cel::Value::Int)
            .or_else(|_| u64::try_from(*number).map(cel::Value::UInt))
            .unwrap_or(cel::Value::Float(*number as f64)),
        Value::Float(number) => cel::Value::Float(*number),
        Value::Text(text) => text.as_ref().into(),
        Value::List(values) => values.iter().map(cel_value).collect::<Vec<_>>().into(),
        Value::Object(object) => row(object),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    const ROW: [&str; 6] = ["before", "after", "key", "op", "entity", "changed"];

    fn image<'a>(columns: &[(&'a str, Value<'a>)]) -> Row<'a> {
        Row(columns.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect())
    }

    fn event<'a>(op: Op, before: Option<Row<'a>>, after: Option<Row<'a>>) -> Event<'a> {
        Event {
            id: None,
            source: None,
            entity: "shop.Book".into(),
            op,
            key: image(&[("id", Value::Int(1))]),
            before,
            after,
            filled: false,
            changed: Some(vec!["state".into()]),
            types: Default::default(),
            relation: None,
            time_us: None,
            origin: None,
            traceparent: None,
            transaction: None,
            answer: None,
        }
    }

    #[test]
    fn conditions_see_what_the_event_knows() {
        let published = || Some(image(&[("state", Value::Text("published".into())), ("price", Value::Int(12))]));
        let draft = || Some(image(&[("state", Value::Text("draft".into())), ("price", Value::Float(1.5))]));
        let either = "after.state == 'published' || before.state == 'published'";
        let cases = [
            (either, event(Op::Update, draft(), published()), Truth::Yes),
            (either, event(Op::Update, published(), draft()), Truth::Yes),
            (either, event(Op::Update, draft(), draft()), Truth::No),
            (either, event(Op::Create, None, draft()), Truth::No),
            (either, event(Op::Delete, published(), None), Truth::Yes),
            (either, event(Op::Update, None, draft()), Truth::Unknown),
            (either, event(Op::Update, None, published()), Truth::Yes),
            ("before.price == 12", event(Op::Update, None, published()), Truth::Yes),
            ("before.id == 1", event(Op::Update, None, published()), Truth::Yes),
            ("before == null", event(Op::Create, None, draft()), Truth::Yes),
            ("before == null", event(Op::Update, draft(), draft()), Truth::No),
            ("has(after.state) && !has(after.missing)", event(Op::Update, None, draft()), Truth::Yes),
            ("after.missing == 1", event(Op::Update, None, draft()), Truth::Unknown),
            ("after.price > 10", event(Op::Update, None, published()), Truth::Yes),
            ("after.price > 10", event(Op::Update, None, draft()), Truth::No),
            ("key.id == 1 && op == 'update' && 'state' in changed", event(Op::Update, None, draft()), Truth::Yes),
            (
                "after.state.startsWith('pub') && entity == 'shop.Book'",
                event(Op::Update, None, published()),
                Truth::Yes,
            ),
            ("before.price > 10 || after.price > 10", event(Op::Create, None, draft()), Truth::Unknown),
            ("before.price > 10 || after.price > 10", event(Op::Create, None, published()), Truth::Yes),
            ("after.price > 10 || before.price > 10", event(Op::Delete, published(), None), Truth::Yes),
            ("before.price > 10 && after.price > 10", event(Op::Delete, draft(), None), Truth::No),
            ("after.state in ['draft', 'gone']", event(Op::Update, None, draft()), Truth::Yes),
        ];
        for (source, event, expect) in cases {
            let condition = Condition::compile(source, &ROW).unwrap();
            assert_eq!(condition.evaluate(&event, &Around::NONE), Ok(expect), "{source} on {event:?}");
        }
    }

    #[test]
    fn a_condition_that_is_no_condition_is_an_error() {
        for source in ["after.price", "after.state > 3"] {
            let condition = Condition::compile(source, &ROW).unwrap();
            let after = image(&[("state", Value::Text("draft".into())), ("price", Value::Int(1))]);
            assert!(condition.evaluate(&event(Op::Update, None, Some(after)), &Around::NONE).is_err(), "{source}");
        }
    }

    #[test]
    fn arithmetic_past_every_limit_is_an_error_and_no_panic() {
        let sources = [
            "-after.low == 1",
            "after.low / -1 == 1",
            "after.low % -1 == 1",
            "after.low % 0 == 1",
            "after.low / 0 == 1",
            "after.low - 1 == 1",
            "after.low * after.low == 1",
            "after.high + 1u == 1u",
            "after.high * after.high == 1u",
            "int(after.high) == 1",
            "int(after.huge) == 1",
            "uint(after.huge) == 1u",
            "uint(after.low) == 1u",
            "int(after.text) == 1",
            "double(after.text) == 1.0",
            "string(after.huge) == 'x'",
            "after.list[after.low] == 1",
            "after.list[9223372036854775807] == 1",
        ];
        let after = image(&[
            ("low", Value::Int(i64::MIN.into())),
            ("high", Value::Int(u64::MAX.into())),
            ("huge", Value::Float(f64::MAX)),
            ("text", Value::Text("9".repeat(400).into())),
            ("list", Value::List(vec![Value::Int(1)])),
        ]);
        let event = event(Op::Update, None, Some(after));
        for source in sources {
            let evaluated = Condition::compile(source, &ROW).unwrap().evaluate(&event, &Around::NONE);
            assert_ne!(evaluated, Ok(Truth::Yes), "{source}");
        }
    }

    #[test]
    fn unknown_names_are_refused_when_compiled() {
        let cases = [
            ("befor.x == 1", "unknown name `befor`", Some("did you mean `before`?")),
            ("from.x == 1", "unknown name `from`", None),
            ("sise(after.x) > 1", "unknown function `sise`", Some("did you mean `size`?")),
            ("after.x ==", "is not CEL", None),
        ];
        for (source, message, help) in cases {
            let (given, helped) = Condition::compile(source, &ROW).unwrap_err();
            assert!(given.contains(message), "{source}: {given}");
            if let Some(help) = help {
                assert_eq!(helped.as_deref(), Some(help), "{source}");
            }
        }
    }
}
