//! Promises that an inspection says what is wrong with a broker, and is content with a right one.

use quash_config::Secret;
use quash_config::{Finding, Severity};
use quash_e2e::eventually;
use quash_transport::amqp::Config;

use super::node::{Fixture, LIMIT, numbered};

async fn inspect(config: &Config) -> Vec<Finding> {
    let findings = config.build().unwrap().inspect().await.unwrap();
    assert!(
        findings.iter().all(|finding| finding.mend.is_empty() == (finding.severity == Severity::Ok)),
        "{findings:?}"
    );
    findings
}

#[track_caller]
fn check(findings: &[Finding], severity: Severity, words: &str) {
    let found = findings.iter().any(|finding| finding.severity == severity && finding.what.contains(words));
    assert!(found, "{severity:?} {words}: {findings:?}");
}

#[tokio::test]
async fn a_right_broker_has_nothing_to_mend_and_is_left_as_it_is() {
    let fixture = Fixture::own().await;
    // Names alone: the node counts messages anew every few seconds only. That none was added or taken is seen below.
    let list = async || fixture.node().await.ctl(&["list_queues", "name"]).await;
    let before = list().await;
    let findings = inspect(&fixture.config()).await;
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
    check(&findings, Severity::Ok, "not there yet");
    assert_eq!(list().await, before);
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.publish(&numbered(0..3)).await.unwrap();
    let before = list().await;
    let findings = inspect(&fixture.config()).await;
    assert!(findings.iter().all(|finding| finding.severity == Severity::Ok), "{findings:?}");
    for words in ["15 queues are as they must be", "may publish", "may read", "3 ready and 0 delayed", "policies"] {
        check(&findings, Severity::Ok, words);
    }
    assert_eq!(list().await, before);
    check(&inspect(&fixture.config()).await, Severity::Ok, "3 ready and 0 delayed");
}

#[tokio::test]
async fn missing_rights_and_queues_are_named() {
    let fixture = Fixture::own().await;
    fixture.transport().prepare().await.unwrap();
    let node = fixture.node().await;
    node.ctl(&["add_user", "poor", "secret"]).await;
    node.ctl(&["set_permissions", "poor", "^$", "^$", "^$"]).await;
    node.ctl(&["delete_queue", &format!("{}.retry.3", fixture.queue())]).await;
    drop(node);
    let (username, password) = (Some(Secret::new("poor")), Some(Secret::new("secret")));
    let config = Config { username, password, ..fixture.config() };
    let findings = inspect(&config).await;
    for words in ["may not declare", "may not publish", "may not read"] {
        check(&findings, Severity::Error, words);
    }
    check(&findings, Severity::Ok, ".retry.3");
    let findings = inspect(&Config { declare: false, ..config }).await;
    check(&findings, Severity::Error, "there is no queue");
    check(&findings, Severity::Ok, "not visible without the right");
}

#[tokio::test]
async fn a_broker_short_of_memory_and_queues_that_differ_are_found() {
    let fixture = Fixture::own().await;
    fixture.transport().prepare().await.unwrap();
    fixture.node().await.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    // The broker looks at its memory once in a while.
    let is_short =
        async || inspect(&fixture.config()).await.iter().any(|finding| finding.severity == Severity::Warning);
    eventually(LIMIT, "the broker is short of memory", is_short).await;
    let findings = inspect(&fixture.config()).await;
    check(&findings, Severity::Warning, "takes no messages at this moment: low on memory");
    check(&findings, Severity::Ok, "15 queues are as they must be");
    fixture.node().await.ctl(&["set_vm_memory_high_watermark", "0.9"]).await;
    let classic = Config { queue_type: quash_transport::amqp::QueueType::Classic, ..fixture.config() };
    let findings = inspect(&classic).await;
    check(&findings, Severity::Warning, "the queues are classic");
    check(&findings, Severity::Error, "x-queue-type is quorum, classic is needed");
}
