//! Defines the answer that a publisher may ask for: what is said, and where, once what it published is done.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reserved::RESERVED;

/// How long an answer stands on its target, for whoever waits for it.
pub const LIFE: Duration = Duration::from_secs(60);

/// What a publisher asks to be answered under, as 32 hexadecimal digits: its own choice, and nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnswerId([u8; 16]);

impl AnswerId {
    /// An identifier made of chance.
    #[must_use]
    pub const fn new(random: u128) -> Self {
        Self(random.to_be_bytes())
    }

    /// Reads 32 hexadecimal digits in lower case; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_spelt = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = is_spelt.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(Self::new)
    }

    /// The key on a target under which answers stand, as a list.
    #[must_use]
    pub fn key(self) -> String {
        format!("{RESERVED}answer:{self}")
    }
}

impl fmt::Display for AnswerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What is said of one message on one target. Others may read it: fields are added, and none changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The target.
    pub target: String,
    /// The source whose worker says so.
    pub source: String,
    /// What became of the message there.
    pub outcome: Outcome,
    /// The message was about the caches of this source alone: it was handed over by another one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
    /// The sources that the rest was handed over to. They answer by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Of a dead letter: its reason, as `target_error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// Of a dead letter: its error, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a message on a target. A closed set: these names are API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What it made stale is invalidated, or it made nothing stale.
    Invalidated,
    /// It was given up, and is a dead letter.
    DeadLetter,
}

impl Answer {
    /// As it stands on a target.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "texts and lists of them always have a JSON form")]
        serde_json::to_string(self).expect("an answer is plain data")
    }
}

/// What one target still has to say of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Whether the message itself is still to be answered for, and not only parts of it.
    whole: bool,
    /// The sources whose part is expected.
    parts: BTreeSet<String>,
    /// Those whose part was answered for, perhaps before anybody said that it is expected.
    heard: BTreeSet<String>,
}

/// Where waiting ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// More is to come.
    Waiting,
    /// All of it is invalidated.
    Invalidated,
    /// A part of it, or all, is a dead letter.
    DeadLetter(Box<Answer>),
}

impl Awaited {
    /// Waits for a message, and for the parts of it that these sources have already.
    #[must_use]
    pub fn new(whole: bool, parts: impl IntoIterator<Item = String>) -> Self {
        Self { whole, parts: parts.into_iter().collect(), heard: BTreeSet::new() }
    }

    /// Takes in what a target said. Answers may come twice and in any order; what is none is passed over.
    pub fn hear(&mut self, json: &[u8]) -> Heard {
        let Ok(answer) = serde_json::from_slice::<Answer>(json) else { return self.now() };
        match answer.outcome {
            Outcome::DeadLetter => return Heard::DeadLetter(Box::new(answer)),
            Outcome::Invalidated if answer.part => drop(self.heard.insert(answer.source)),
            Outcome::Invalidated => {
                self.whole = false;
                self.parts.extend(answer.also);
            }
        }
        self.now()
    }

    /// Whether anything is still to come.
    #[must_use]
    pub fn now(&self) -> Heard {
        let is_done = !self.whole && self.parts.is_subset(&self.heard);
        if is_done { Heard::Invalidated } else { Heard::Waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_32_digits_in_lower_case() {
        let id = "000102030405060708090a0b0c0d0eff";
        assert_eq!(AnswerId::parse(id).map(|id| id.to_string()).as_deref(), Some(id));
        assert_eq!(
            AnswerId::parse(id).map(AnswerId::key).as_deref(),
            Some("quash:answer:000102030405060708090a0b0c0d0eff")
        );
        for wrong in ["", "0", &id[1..], &format!("{id}0"), &id.to_uppercase(), &id.replace('0', "+"), &"ü".repeat(16)]
        {
            assert_eq!(AnswerId::parse(wrong), None, "{wrong}");
        }
    }

    /// The cases that clients in other languages pass as well.
    #[test]
    fn waiting_ends_when_everything_is_heard() {
        for line in include_str!("../../../tests/vectors/answers.jsonl").lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let mut awaited = Awaited::new(true, []);
            for step in case["steps"].as_array().unwrap() {
                let then = match awaited.hear(step["heard"].as_str().unwrap().as_bytes()) {
                    Heard::Waiting => "waiting".to_owned(),
                    Heard::Invalidated => "invalidated".to_owned(),
                    Heard::DeadLetter(answer) => format!("dead_letter {}", answer.reason.unwrap_or_default()),
                };
                assert_eq!(then, step["then"].as_str().unwrap(), "{}", case["name"]);
            }
        }
    }

    #[test]
    fn an_answer_says_no_more_than_it_has_to() {
        let answer = Answer {
            target: "main".to_owned(),
            source: "events".to_owned(),
            outcome: Outcome::Invalidated,
            part: false,
            also: Vec::new(),
            reason: None,
            error: None,
        };
        assert_eq!(answer.to_json(), r#"{"target":"main","source":"events","outcome":"invalidated"}"#);
    }

    #[test]
    fn what_was_done_before_is_not_waited_for() {
        assert_eq!(Awaited::new(false, []).now(), Heard::Invalidated);
        let mut awaited = Awaited::new(false, ["bulk".to_owned()]);
        assert_eq!(awaited.now(), Heard::Waiting);
        let part = br#"{"target":"main","source":"bulk","outcome":"invalidated","part":true}"#;
        assert_eq!(awaited.hear(part), Heard::Invalidated);
    }
}
