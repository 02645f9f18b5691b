//! Tells an explanation on one screen: what changed, which rules matched, what goes stale and how it is removed.

use std::borrow::Cow;
use std::time::Duration;

use quash_config::{Finding, Severity};
use quash_config::{Span, nearest};
use quash_core::event::DecodeError;
use quash_core::explain::{ExplainedCache, ExplainedChange, ExplainedRule, Explanation, PlannedAction, RuleVerdict};

use super::change::Seen;
use super::live::{Answers, ON_PATTERNS, ON_PREFIXES};
use crate::output::{Paint, escape_for_terminal};
use crate::screen::count;
use quash_delivery::record::Reason;

/// How much of a long list one change shows: together about one screen.
const RULES_MAX: usize = 8;
const CACHES_MAX: usize = 4;
const KEY_SETS_MAX: usize = 4;
const ACTIONS_MAX: usize = 12;
/// Changes of one message that are shown.
const CHANGES_MAX: usize = 3;

/// An explanation and what is needed to tell it.
pub(super) struct Story<'e> {
    pub(super) explanation: &'e Explanation,
    /// One per change of the explanation.
    pub(super) seen: Vec<Seen>,
    /// The entities and relations that rules know.
    pub(super) entities: Vec<String>,
    pub(super) asked: Option<&'e Answers>,
    /// Whether long lists are shown whole.
    pub(super) all: bool,
    pub(super) paint: Paint,
}

/// Why a message would become a dead letter before any rule sees it.
pub(super) fn undecodable(error: &DecodeError, paint: Paint) -> String {
    let reason = Reason::of_undecodable(error).name();
    let error = error.to_string();
    let error = escape_for_terminal(&error);
    format!("{} this would become a dead letter at once, reason `{reason}`:\n  {error}\n", paint.red("✗"))
}

impl Story<'_> {
    pub(super) fn tell(&self) -> String {
        let changes = &self.explanation.changes;
        if changes.is_empty() {
            return "the message carries no change (a tombstone, a heartbeat or a transaction's boundary): it would be \
                    acknowledged\n"
                .to_owned();
        }
        let nothing = Seen::default();
        let seen = |index: usize| self.seen.get(index).unwrap_or(&nothing);
        let rendered: Vec<_> = (0..)
            .zip(changes)
            .take(self.max(CHANGES_MAX))
            .map(|(index, change)| self.change(change, seen(index)))
            .collect();
        let rest = self.more(changes.len(), CHANGES_MAX, "change", "");
        format!("{}{rest}{}", rendered.join("\n"), self.sum())
    }

    fn change(&self, change: &ExplainedChange, seen: &Seen) -> String {
        let mut out = format!("{}\n", self.paint.bold(&escape_for_terminal(&change.change)));
        if !seen.differences.is_empty() {
            out += &format!("  {}\n", escape_for_terminal(&self.cut(&seen.differences, RULES_MAX).join(", ")));
        }
        if let Some(missing) = seen.missing.filter(|_| is_widened(change)) {
            out += &format!("  {} {missing}\n", self.paint.yellow("!"));
        }
        out += &self.rules(change, seen);
        out += &self.stale(change);
        if let Some(refused) = &change.refused {
            let refused = escape_for_terminal(refused);
            out += &format!("\n  {} it becomes a dead letter: {refused}\n", self.paint.red("✗"));
        }
        out
    }

    fn rules(&self, change: &ExplainedChange, seen: &Seen) -> String {
        let Some(entity) = &seen.entity else { return String::new() };
        if change.rules.is_empty() {
            return self.unknown(entity);
        }
        let mut rules: Vec<&ExplainedRule> = change.rules.iter().collect();
        rules.sort_by_key(|rule| matches!(rule.verdict, RuleVerdict::Skipped { .. }));
        let width = rules.iter().map(|rule| rule.cache.chars().count()).max().unwrap_or_default();
        let mut out = format!("\nrules on {}\n", escape_for_terminal(entity));
        out.extend(rules.iter().take(self.max(RULES_MAX)).map(|rule| self.rule(rule, width)));
        out + &self.more(rules.len(), RULES_MAX, "rule", "  ")
    }

    fn rule(&self, rule: &ExplainedRule, width: usize) -> String {
        let (cache, paint) = (escape_for_terminal(&rule.cache), self.paint);
        let line = |mark: Cow<'_, str>, what: &str| format!("  {mark} {cache:width$}  {}\n", escape_for_terminal(what));
        match &rule.verdict {
            RuleVerdict::Matched { key_sets, notes } => {
                let sets = self.cut(key_sets, KEY_SETS_MAX).join("; ");
                let notes = notes.iter().map(|note| self.note(note, width));
                line(paint.green("✓"), &sets) + &notes.collect::<String>()
            }
            RuleVerdict::Skipped { clause, why } => line(paint.dim("–"), &format!("{clause}: {why}")),
            RuleVerdict::Failed { error } => line(paint.red("✗"), error),
        }
    }

    fn note(&self, note: &str, width: usize) -> String {
        let indent = " ".repeat(width + 6);
        let mut out = format!("{indent}{} {}\n", self.paint.yellow("!"), escape_for_terminal(note));
        if let Some(mend) = mend(note) {
            out += &format!("{indent}  {} {mend}\n", self.paint.dim("mend:"));
        }
        out
    }

    /// What to look at when no rule knows the entity.
    fn unknown(&self, entity: &str) -> String {
        let mut out = format!("\n  {} no rule is on {}", self.paint.yellow("–"), escape_for_terminal(entity));
        if let Some(near) = nearest(entity, self.entities.iter().map(String::as_str)) {
            out += &format!("; did you mean `{}`?", escape_for_terminal(near));
        }
        let known = match self.entities.len() {
            0 => "no entity at all".to_owned(),
            _ => escape_for_terminal(&self.cut(&self.entities, RULES_MAX).join(", ")).into_owned(),
        };
        out + &format!("\n    rules know: {known}\n")
    }

    fn stale(&self, change: &ExplainedChange) -> String {
        if change.caches.is_empty() && change.command.is_empty() {
            if change.refused.is_some() {
                return String::new();
            }
            return "\n  nothing is stale: it would be acknowledged, and counted as unmatched\n".to_owned();
        }
        let mut out = "\nwould remove\n".to_owned();
        let actions = ACTIONS_MAX / change.caches.len().clamp(1, CACHES_MAX);
        let caches = change.caches.iter().take(self.max(CACHES_MAX));
        out.extend(caches.map(|cache| self.cache(cache, actions)));
        out += &self.more(change.caches.len(), CACHES_MAX, "cache", "  ");
        out + &self.actions(&change.command, ACTIONS_MAX)
    }

    fn cache(&self, cache: &ExplainedCache, actions: usize) -> String {
        let because = match cache.through.as_slice() {
            [] => String::new(),
            through => format!(", stale because of {}", escape_for_terminal(&through.join(", "))),
        };
        let reaches = cache.key_sets.iter().zip(&cache.reach);
        let mut how: Vec<_> = reaches.map(|(_, reach)| reach.in_words()).collect();
        how.dedup();
        let mut out = format!("  {}{because}\n", self.paint.bold(&escape_for_terminal(&cache.cache)));
        out += &format!("    {}\n", escape_for_terminal(&self.cut(&how, 2).join("; ")));
        out.extend(cache.notes.iter().map(|note| self.note(note, 0)));
        out += &self.actions(&cache.actions, actions);
        let hints = self.asked.iter().flat_map(|asked| &asked.hints).filter(|hint| hint.cache == cache.cache);
        out.extend(hints.map(|hint| rendered(&hint.finding, "    ", self.paint)));
        if !cache.again_after_ms.is_empty() {
            let later = cache.again_after_ms.iter().map(|ms| Span(Duration::from_millis(*ms)).to_string());
            out += &format!("    again after {}\n", later.collect::<Vec<_>>().join(", "));
        }
        out += &format!("    guarantee: {}\n", cache.guarantee);
        out
    }

    fn actions(&self, actions: &[PlannedAction], max: usize) -> String {
        let target = actions.iter().map(|action| action.target.chars().count()).max().unwrap_or_default();
        let mut out: String = actions.iter().take(self.max(max)).map(|action| self.action(action, target)).collect();
        out += &self.more(actions.len(), max, "action", "    ");
        out
    }

    fn action(&self, action: &PlannedAction, width: usize) -> String {
        let (target, object) = (escape_for_terminal(&action.target), escape_for_terminal(&action.object));
        let below = ON_PREFIXES.contains(&action.action);
        let star = if below { "*" } else { "" };
        let counts = below || ON_PATTERNS.contains(&action.action);
        let found = match (self.asked.and_then(|asked| asked.live.found(action)), !counts) {
            (None, _) => String::new(),
            (Some(0), true) => format!("  {}", self.paint.dim("not there")),
            (Some(_), true) => format!("  {}", self.paint.green("exists")),
            (Some(keys), false) => format!("  {}", self.paint.green(&count(keys_shown(keys), "key"))),
        };
        format!("    {target:width$}  {:13}  {object}{star}{found}\n", action.action)
    }

    /// The last line: how much all of it is.
    fn sum(&self) -> String {
        let changes = self.explanation.changes.iter();
        let actions: Vec<_> = changes
            .flat_map(|change| change.caches.iter().flat_map(|cache| &cache.actions).chain(&change.command))
            .collect();
        if actions.is_empty() {
            return String::new();
        }
        let mut targets: Vec<_> = actions.iter().map(|action| &action.target).collect();
        targets.sort_unstable();
        targets.dedup();
        let sum = format!("{} on {}", count(actions.len(), "action"), count(targets.len(), "target"));
        let found = |asked: &Answers| actions.iter().filter_map(|action| asked.live.found(action)).sum::<u64>();
        let existing = self.asked.map(found);
        let existing =
            existing.map(|keys| format!(", {} there now", count(keys_shown(keys), "key"))).unwrap_or_default();
        format!("\n{sum}{existing}; explaining removed nothing\n")
    }

    const fn max(&self, max: usize) -> usize {
        if self.all { usize::MAX } else { max }
    }

    fn cut(&self, texts: &[String], max: usize) -> Vec<String> {
        let mut shown: Vec<_> = texts.iter().take(self.max(max)).cloned().collect();
        if shown.len() < texts.len() {
            shown.push(format!("… {} more (--all)", texts.len() - shown.len()));
        }
        shown
    }

    fn more(&self, len: usize, max: usize, noun: &str, indent: &str) -> String {
        match len.saturating_sub(self.max(max)) {
            0 => String::new(),
            more => format!("{indent}… {} more (--all)\n", count(more, noun)),
        }
    }
}

/// A finding on lines of its own: how it is, and what mends it.
pub(super) fn rendered(finding: &Finding, indent: &str, paint: Paint) -> String {
    let mark = match finding.severity {
        Severity::Ok => paint.dim("–"),
        Severity::Warning => paint.yellow("!"),
        Severity::Error => paint.red("✗"),
    };
    let mut out = format!("{indent}{mark} {}\n", escape_for_terminal(&finding.what));
    if !finding.mend.is_empty() {
        out += &format!("{indent}  {} {}\n", paint.dim("mend:"), escape_for_terminal(&finding.mend));
    }
    out
}

fn keys_shown(keys: u64) -> usize {
    usize::try_from(keys).unwrap_or(usize::MAX)
}

/// Whether any rule removes more because of what the event does not carry.
fn is_widened(change: &ExplainedChange) -> bool {
    let noted = |rule: &ExplainedRule| matches!(&rule.verdict, RuleVerdict::Matched { notes, .. } if !notes.is_empty());
    change.rules.iter().any(noted)
}

/// How a key set is removed, in words.
/// What the publisher or the configuration could do about a note.
fn mend(note: &str) -> Option<&'static str> {
    [
        (
            "widened: Debezium",
            "set REPLICA IDENTITY FULL and say so (entities.NAME.replica_identity: full), or declare entities.NAME.key",
        ),
        ("widened: the event", "publish the column in `before` and `after`, or say in `changed` which columns changed"),
        ("the condition needs", "publish the columns that `when` reads, in both images"),
        ("widened: too long keys", "publish shorter values, or raise limits.max_plan_bytes"),
        ("widened: too many", "publish smaller changes, or raise limits.max_actions_per_event"),
    ]
    .iter()
    .find(|(start, _)| note.starts_with(start))
    .map(|(_, mend)| *mend)
}

#[cfg(test)]
mod tests;
