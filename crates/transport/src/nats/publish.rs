//! Publishes in windows, and takes no word but the stream's own that it has stored a message.

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::Shared;
use super::api::PubAck;
use super::connection::Unanswered;
use super::topology::{is_wildcard, missing_stream, restore_aside, stream_info};
use super::wire::Outgoing;
use crate::{Message, TransportError};

/// How many messages are on their way at once.
const MESSAGES_MAX: usize = 1024;

/// How many bytes are on their way at once, so that a slow server answers within the limit of a call.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Publishes events; each is stored, or this is an error.
pub(super) async fn publish(shared: &Shared, messages: &[Message]) -> Result<(), TransportError> {
    let subject = &shared.names.subject;
    if is_wildcard(subject) {
        return Err(TransportError::Refused(format!(
            "the subject {subject} has wildcards: nothing can be published to it"
        )));
    }
    store_all(shared, subject, messages).await
}

/// Stores messages in a stream in their order.
pub(super) async fn store_all(shared: &Shared, subject: &str, messages: &[Message]) -> Result<(), TransportError> {
    if messages.is_empty() {
        return Ok(());
    }
    let subject = async_nats::Subject::from(subject);
    let max = shared.link.payload_max().await?;
    let outgoing = messages.iter().map(|message| Outgoing::published(subject.clone(), message));
    let outgoing: Vec<_> = outgoing.collect();
    if let Some(large) = outgoing.iter().map(Outgoing::size).find(|&size| size > max) {
        return Err(TransportError::TooLarge(format!("a message has {large} bytes, and the server takes {max}")));
    }
    for result in store(shared, outgoing).await {
        result?;
    }
    Ok(())
}

/// Stores copies, and says of each whether it is stored; a stream that is not there any more is made again.
pub(super) async fn store_copies(shared: &Shared, outgoing: Vec<Outgoing>) -> Vec<Result<(), TransportError>> {
    let mut results = store(shared, outgoing.clone()).await;
    let missing = results.iter().find_map(|result| result.as_ref().err()).cloned();
    if let Some(error) = missing
        && restore_aside(shared, &error).await
    {
        let failed: Vec<_> = (0..results.len()).filter(|at| results[*at].is_err()).collect();
        let again = failed.iter().map(|at| outgoing[*at].clone()).collect();
        for (at, result) in failed.into_iter().zip(store(shared, again).await) {
            results[at] = result;
        }
    }
    results
}

/// Stores copies, and says of each whether it is stored.
pub(super) async fn store(shared: &Shared, outgoing: Vec<Outgoing>) -> Vec<Result<(), TransportError>> {
    let (mut results, mut on_their_way, mut bytes) = (Vec::with_capacity(outgoing.len()), FuturesOrdered::new(), 0);
    let mut sizes = std::collections::VecDeque::new();
    let count = outgoing.len();
    let storing = async {
        for one in outgoing {
            let size = one.size();
            while on_their_way.len() >= MESSAGES_MAX || (bytes + size > BYTES_MAX && !on_their_way.is_empty()) {
                results.extend(on_their_way.next().await);
                bytes -= sizes.pop_front().unwrap_or(0);
            }
            bytes += size;
            sizes.push_back(size);
            on_their_way.push_back(store_one(shared, one));
        }
        while let Some(result) = on_their_way.next().await {
            results.push(result);
        }
    };
    tokio::select! {
        biased;
        () = storing => {}
        () = shared.link.lost() => {}
    }
    results.resize_with(count, || Err(shared.link.unreachable("the connection was lost")));
    results
}

async fn store_one(shared: &Shared, one: Outgoing) -> Result<(), TransportError> {
    let subject = one.subject.clone();
    match shared.link.ask_patiently(one.subject, one.headers, one.payload).await {
        Ok(answer) => match shared.link.read::<PubAck>(&answer.payload)? {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(shared.link.failure(&format!("store in stream {}", shared.names.stream_taking(&subject)), &error))
            }
        },
        Err(Unanswered::NoResponders) => Err(nobody_listens(shared, &subject).await),
        Err(Unanswered::Other(error)) => Err(error),
    }
}

/// Nobody took a message: because nobody would, or because the server is not ready.
async fn nobody_listens(shared: &Shared, subject: &str) -> TransportError {
    let stream = shared.names.stream_taking(subject);
    match stream_info(shared, stream).await {
        Ok(None) => missing_stream(stream),
        Ok(Some(info)) if !info.config.subjects.iter().any(|all| super::topology::covers(all, subject)) => {
            let subjects = info.config.subjects.join(",");
            TransportError::Refused(format!("no stream takes the subject {subject}: those of {stream} are {subjects}"))
        }
        Ok(Some(_)) => shared.link.unreachable(format!("stream {stream} does not answer yet")),
        Err(error) => error,
    }
}
