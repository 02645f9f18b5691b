//! Says what a later pass has to remove again, as direct commands that any number of messages can share.

use std::fmt::Write as _;
use std::time::Duration;

use super::Batch;
use crate::event::Value;
use crate::key::KeySet;
use crate::plan::RequestId;
use crate::resolution::Later;
use crate::rule::set::Cache;
use crate::scope::CacheId;

/// How many key sets of one cache are said for one message; what has more keeps its own payload, which is shorter.
const SETS_MAX: usize = 100;

impl Batch<'_> {
    /// Notes what of a cache a later pass removes again for a request. False where a command cannot say it.
    pub(super) fn later(
        &mut self,
        request: RequestId,
        id: CacheId,
        cache: &Cache,
        pass: Duration,
        sets: &[KeySet<'_>],
    ) -> bool {
        if sets.len() > SETS_MAX {
            return false;
        }
        for set in sets {
            let Some(command) = command(cache, set) else { return false };
            self.bytes = self.bytes.saturating_add(command.len());
            self.later.push(Later { request, cache: id, pass, command: command.into() });
        }
        true
    }

    /// Forgets what was noted for a request: it cannot be said as a whole.
    pub(super) fn never_later(&mut self, request: RequestId) {
        let kept = self.later.iter().rposition(|later| later.request != request).map_or(0, |last| last + 1);
        self.later.truncate(kept);
    }
}

/// The direct command that names a key set. `None` where its values would not come back as they are: a command does not say
/// what a column is in the application, and JSON has no word for every number.
fn command(cache: &Cache, set: &KeySet<'_>) -> Option<String> {
    let mut text = String::with_capacity(96);
    text.push_str("{\"invalidate\":{\"cache\":");
    quoted(&mut text, &cache.name)?;
    text.push_str(",\"args\":{");
    let mut is_first = true;
    for (arg, name) in cache.scheme.args().iter().enumerate() {
        let Some(exact) = set.arg(arg) else { continue };
        if exact.declared.is_some() {
            return None;
        }
        if !std::mem::take(&mut is_first) {
            text.push(',');
        }
        quoted(&mut text, name)?;
        text.push(':');
        value(&mut text, exact.value)?;
    }
    text.push_str("}}}");
    Some(text)
}

fn value(text: &mut String, value: &Value<'_>) -> Option<()> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) if i64::try_from(*number).is_ok() || u64::try_from(*number).is_ok() => {
            write!(text, "{number}").ok()?;
        }
        Value::Text(content) => quoted(text, content)?,
        Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Object(_) => return None,
    }
    Some(())
}

fn quoted(text: &mut String, content: &str) -> Option<()> {
    if content.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        text.push('"');
        text.push_str(content);
        text.push('"');
    } else {
        text.push_str(&serde_json::to_string(content).ok()?);
    }
    Some(())
}
