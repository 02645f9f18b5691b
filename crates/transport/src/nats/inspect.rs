//! Looks at the server for whoever sets it up: version, durability, limits, rights, and what waits.

use super::api::{ConsumerInfo, StreamConfig, StreamInfo};
use super::topology::{
    Lane, consumer_differences, consumer_info, needed_consumer, needed_streams, stream_differences, stream_info,
};
use super::{Shared, backlog, stranded};
use crate::TransportError;
use quash_config::{Finding, Severity};

/// Below this the server may lose whole streams, or is not known to work.
const OLDEST: (u32, u32) = (2, 9);

/// How full a stream may be before it is said.
const FULL_PERCENT: u64 = 80;

/// Inspects the server; changes nothing.
pub(super) async fn inspect(shared: &Shared) -> Result<Vec<Finding>, TransportError> {
    let info = shared.link.client().await?.server_info();
    let mut findings = version(&info.version);
    findings.push(ok(format!("the server takes messages of up to {} bytes, headers included", info.max_payload)));
    let mut found = Vec::new();
    for needed in needed_streams(shared) {
        match stream_info(shared, &needed.name).await {
            Ok(Some(info)) => {
                findings.extend(stream(&info, &needed));
                found.push(info);
            }
            Ok(None) => findings.push(missing("stream", &needed.name, shared.config.declare)),
            Err(error) => findings.push(unseen(&format!("stream {}", needed.name), &error)),
        }
    }
    for lane in Lane::ALL {
        let Some(stream) = found.iter().find(|info| info.config.name == shared.names.stream_of(lane)) else { continue };
        findings.extend(consumer(shared, lane, &stream.config).await);
    }
    if found.len() == 3 {
        findings.push(waiting(shared).await?);
    }
    Ok(findings)
}

fn version(version: &str) -> Vec<Finding> {
    let mut parts = version.split('.').map_while(|part| part.split('-').next()?.parse::<u32>().ok());
    let parts = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let (major, minor, patch) = parts;
    if (major, minor) < OLDEST {
        return vec![error(format!("the server's version is {version}"), "use nats-server 2.9 or newer")];
    }
    let mut findings = vec![ok(format!("the server can be reached, version {version}"))];
    if ((2, 10, 20)..=(2, 10, 22)).contains(&parts) {
        findings.push(warning(
            format!("nats-server {major}.{minor}.{patch} can lose a stream when its process dies"),
            "use 2.10.23 or newer",
        ));
    }
    findings.push(match parts {
        (2, 9, _) => warning(
            "what the server has taken survives its process, and a power loss may take up to two minutes of it: this \
             version writes through only so often",
            "from version 2.10 on, set `sync_interval: always` in its jetstream block; or keep 3 replicas in separate places",
        ),
        _ => warning(
            "what the server has taken survives its process; whether it survives a power loss depends on its \
             `sync_interval`, which clients cannot see and which is two minutes if nobody set it",
            "set `sync_interval: always` in the server's jetstream block, or keep 3 replicas in separate places",
        ),
    });
    findings
}

fn stream(info: &StreamInfo, needed: &StreamConfig) -> Vec<Finding> {
    let StreamConfig { name, num_replicas, max_bytes, max_msgs, max_age, duplicate_window, .. } = &info.config;
    let mut findings: Vec<_> = stream_differences(&info.config, needed)
        .into_iter()
        .map(|difference| error(format!("stream {name}: {difference}"), "see there"))
        .collect();
    if findings.is_empty() {
        findings.push(ok(format!(
            "stream {name}: {} messages, {} bytes, stored in files on {num_replicas} of the servers",
            info.state.messages, info.state.bytes
        )));
    }
    if *num_replicas != needed.num_replicas {
        findings.push(warning(
            format!("stream {name}: replicas are {num_replicas}, and {} are configured", needed.num_replicas),
            &format!("`nats stream edit {name} --replicas={}`", needed.num_replicas),
        ));
    }
    if *max_bytes != needed.max_bytes || *max_age != needed.max_age {
        findings.push(warning(
            format!(
                "stream {name}: max_bytes is {max_bytes} and max_age {max_age} ns, configured are {} and {}",
                needed.max_bytes, needed.max_age
            ),
            "edit the stream, or the configuration",
        ));
    }
    if *max_age > 0 && needed.retention == "workqueue" {
        findings.push(warning(
            format!("stream {name}: what is not processed within {} s is dropped", max_age / 1_000_000_000),
            "a work queue needs no max_age",
        ));
    }
    if *duplicate_window < needed.duplicate_window {
        findings.push(warning(
            format!("stream {name}: the duplicate window is short, so a repeated settle may double copies"),
            &format!("`nats stream edit {name} --dupe-window=2m`"),
        ));
    }
    findings.extend(fullness(name, "bytes", info.state.bytes, *max_bytes));
    findings.extend(fullness(name, "messages", info.state.messages, *max_msgs));
    if info.config.max_msg_size > 0 {
        findings.push(ok(format!("stream {name}: a message may have {} bytes", info.config.max_msg_size)));
    }
    findings
}

fn fullness(name: &str, what: &str, used: u64, max: i64) -> Option<Finding> {
    let max = u64::try_from(max).ok().filter(|max| *max > 0)?;
    let percent = used.saturating_mul(100) / max;
    (percent >= FULL_PERCENT).then(|| {
        warning(
            format!(
                "stream {name} is {percent} % full ({used} of {max} {what}); when it is full, publishing is refused"
            ),
            "start more workers, or raise the limit",
        )
    })
}

async fn consumer(shared: &Shared, lane: Lane, stream: &StreamConfig) -> Vec<Finding> {
    let name = shared.names.consumer_of(lane);
    match consumer_info(shared, lane).await {
        Ok(Some(info)) => {
            let mut findings = consumer_findings(shared, lane, &name, &info, stream);
            findings.extend(left_behind(shared, lane).await);
            findings
        }
        Ok(None) => vec![missing("consumer", &name, shared.config.declare)],
        Err(error) => vec![unseen(&format!("consumer {name}"), &error)],
    }
}

/// What the consumer will never hand out. Whoever may not look hears that of the stream already.
async fn left_behind(shared: &Shared, lane: Lane) -> Option<Finding> {
    let found = stranded::look(shared, lane).await.ok()??;
    let (stream, consumer) = (shared.names.stream_of(lane), shared.names.consumer_of(lane));
    let what = format!("consumer {consumer} does not know of {} messages that stream {stream} has for it", found.count);
    let by_hand = stranded::by_hand(shared, lane).await;
    Some(warning(what, &format!("a running worker makes the consumer anew if it may; else: {by_hand}")))
}

fn consumer_findings(
    shared: &Shared,
    lane: Lane,
    name: &str,
    info: &ConsumerInfo,
    stream: &StreamConfig,
) -> Vec<Finding> {
    let needed = needed_consumer(shared, lane, stream);
    let mut findings: Vec<_> = consumer_differences(&info.config)
        .into_iter()
        .map(|difference| error(format!("consumer {name}: {difference}"), "see there"))
        .collect();
    if findings.is_empty() {
        findings.push(ok(format!("consumer {name}: {} unsettled", info.num_ack_pending)));
    }
    if info.config.ack_wait != needed.ack_wait {
        let (found, needed) = (info.config.ack_wait / 1_000_000, needed.ack_wait / 1_000_000);
        findings.push(warning(
            format!("consumer {name}: ack_wait is {found} ms, and {needed} ms are configured; {found} ms hold"),
            &format!("`nats consumer edit {} {name} --wait={needed}ms`", stream.name),
        ));
    }
    if (1..needed.max_ack_pending).contains(&info.config.max_ack_pending) {
        let (found, needed) = (info.config.max_ack_pending, needed.max_ack_pending);
        findings.push(warning(
            format!("consumer {name}: max_ack_pending is {found}, so workers may wait for each other"),
            &format!("`nats consumer edit {} {name} --max-pending={needed}`", stream.name),
        ));
    }
    findings
}

async fn waiting(shared: &Shared) -> Result<Finding, TransportError> {
    let backlog = backlog::backlog(shared).await?;
    Ok(ok(format!("{} ready, {} unsettled and {} delayed messages", backlog.ready, backlog.unsettled, backlog.delayed)))
}

fn missing(kind: &str, name: &str, declare: bool) -> Finding {
    let what = format!("{kind} {name} does not exist");
    if declare {
        warning(what, "a worker makes it when it starts")
    } else {
        error(what, "make it, or set declare: true")
    }
}

fn unseen(what: &str, error: &TransportError) -> Finding {
    warning(format!("{what} may not be seen: {error}"), "grant what docs/brokers.md lists")
}

fn ok(what: impl Into<String>) -> Finding {
    Finding { severity: Severity::Ok, what: what.into(), mend: String::new() }
}

fn warning(what: impl Into<String>, mend: &str) -> Finding {
    Finding { severity: Severity::Warning, what: what.into(), mend: mend.into() }
}

fn error(what: impl Into<String>, mend: &str) -> Finding {
    Finding { severity: Severity::Error, what: what.into(), mend: mend.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged() {
        let worst = |text| version(text).into_iter().map(|finding| finding.severity).max_by_key(|kind| *kind as u8);
        assert_eq!(version("2.8.4")[0].severity, Severity::Error);
        assert_eq!(version("2.10.21").len(), 3);
        for text in ["2.9.10", "2.10.23", "2.12.0-RC.1", "3.0.0"] {
            assert_eq!(version(text).len(), 2, "{text}");
            assert_eq!(worst(text), Some(Severity::Warning), "{text}");
        }
    }

    #[test]
    fn a_stream_that_is_nearly_full_is_told() {
        let full = |used, max| fullness("S", "bytes", used, max).is_some();
        assert_eq!([full(79, 100), full(80, 100), full(80, -1), full(80, 0)], [false, true, false, false]);
    }
}
