//! Promises that queues which somebody deletes while a worker runs are declared again, and hold up nothing.

use std::time::Duration;

use quash_transport::{Backlog, Destination as Where, Message, Replacement, Verdict};
use tokio::time::timeout;

use super::node::{Fixture, LIMIT, consume, message, receive_many, texts};

fn replaced(message: &Message, fixture: Where) -> Verdict {
    Verdict::Replace(vec![Replacement { message: message.clone(), to: fixture }])
}

#[tokio::test]
async fn deleted_queues_of_letters_and_delays_are_declared_again_when_something_must_go_there() {
    let fixture = Fixture::own().await;
    let transport = fixture.transport();
    transport.prepare().await.unwrap();
    transport.publish(&[message("dead"), message("parked"), message("acked")]).await.unwrap();
    let mut consumer = consume(&*transport, "a", 3).await;
    let held = receive_many(&mut consumer, 3).await;
    for suffix in ["dead", "retry.0", "retry.1"] {
        fixture.node().await.ctl(&["delete_queue", &format!("{}.{suffix}", fixture.queue())]).await;
    }
    let verdicts = [
        (held[0].tag, replaced(&held[0].message, Where::DeadLetters)),
        (held[1].tag, replaced(&held[1].message, Where::Later(Duration::from_millis(100)))),
        (held[2].tag, Verdict::Ack),
    ];
    timeout(LIMIT, consumer.settler.settle(&verdicts)).await.expect("it is settled").unwrap();
    assert_eq!(transport.dead_letters().len().await.unwrap(), 1);
    let back = receive_many(&mut consumer, 1).await;
    assert_eq!(texts(&back), ["parked"]);
    consumer.settler.settle(&[(back[0].tag, Verdict::Ack)]).await.unwrap();
    assert_eq!(transport.backlog().await.unwrap(), Backlog::default());
}
