//! Runs the scripts by which several commands become one step at the server.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, RedisResult, Script, Value, cmd};

use super::connection::{Link, all, code, failure};
use crate::TransportError;

/// How many entries one call of a script handles; more would hold up the server for milliseconds.
pub(super) const CHUNK: usize = 128;

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Loaded::new(concat!($(include_str!(concat!("lua/", $part, ".lua"))),+)))
    };
}

pub(super) static SETTLE: LazyLock<Loaded> = script!("full", "mine", "settle");
pub(super) static RELEASE: LazyLock<Loaded> = script!("full", "mine", "release");
pub(super) static TAKE: LazyLock<Loaded> = script!("take");
pub(super) static REFRESH: LazyLock<Loaded> = script!("mine", "refresh");
pub(super) static MOVE: LazyLock<Loaded> = script!("full", "move");
pub(super) static TRIM: LazyLock<Loaded> = script!("ids", "dropped", "trim");
pub(super) static RETIRE: LazyLock<Loaded> = script!("retire");

/// A script, with the name that the server knows it by.
pub(super) struct Loaded {
    code: &'static str,
    script: Script,
}

impl Loaded {
    fn new(code: &'static str) -> Self {
        Self { code, script: Script::new(code) }
    }

    /// The command that calls it with these keys; arguments follow.
    pub(super) fn call(&self, keys: &[&str]) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(self.script.get_hash()).arg(keys.len()).arg(keys);
        call
    }
}

/// Runs commands among which are calls of scripts, and loads the scripts first if the server does not know them. All
/// commands are then sent again: whoever uses this must be able to repeat them.
pub(super) async fn run(link: &Link, pipeline: &mut Pipeline) -> Result<Vec<Value>, TransportError> {
    let answers = link.run(pipeline).await?;
    if !answers.iter().any(|answer| code(answer) == Some("NOSCRIPT")) {
        return all(answers);
    }
    load(link).await?;
    all(link.run(pipeline).await?)
}

/// Runs a single call of a script and returns the server's answer, error or not.
pub(super) async fn try_call(link: &Link, call: Cmd) -> Result<RedisResult<Value>, TransportError> {
    let answer = link.try_ask(call.clone()).await?;
    if code(&answer) != Some("NOSCRIPT") {
        return Ok(answer);
    }
    load(link).await?;
    link.try_ask(call).await
}

/// The same where an error ends it.
pub(super) async fn call(link: &Link, call: Cmd) -> Result<Value, TransportError> {
    try_call(link, call).await?.map_err(|error| failure(&error))
}

async fn load(link: &Link) -> Result<(), TransportError> {
    let mut pipeline = Pipeline::new();
    for script in [&SETTLE, &RELEASE, &TAKE, &REFRESH, &MOVE, &TRIM, &RETIRE] {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.code);
    }
    all(link.run(&mut pipeline).await?).map(drop)
}
