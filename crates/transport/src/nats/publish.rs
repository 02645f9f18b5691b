//! Publishes in windows, and takes no word but the stream's own that it has stored a message.

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::Place;
use super::api::PubAck;
use super::connection::Unanswered;
use super::entry::Outgoing;
use super::topology::{is_wildcard, missing_stream, restore_aside, stream_info};
use crate::{Message, TransportError};

/// How many messages are on their way at once.
const MESSAGES_MAX: usize = 1024;

/// How many bytes are on their way at once, so that a slow server answers within the limit of a call.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Publishes events; each is stored, or this is an error.
pub(super) async fn publish(place: &Place, messages: &[Message]) -> Result<(), TransportError> {
    let subject = &place.names.subject;
    if is_wildcard(subject) {
        return Err(TransportError::Refused(format!(
            "the subject {subject} has wildcards: nothing can be published to it"
        )));
    }
    store_all(place, subject, messages).await
}

/// Stores messages in a stream in their order.
pub(super) async fn store_all(place: &Place, subject: &str, messages: &[Message]) -> Result<(), TransportError> {
    if messages.is_empty() {
        return Ok(());
    }
    let subject = async_nats::Subject::from(subject);
    let max = place.link.payload_max().await?;
    let outgoing = messages.iter().map(|message| Outgoing::published(subject.clone(), message));
    let outgoing: Vec<_> = outgoing.collect();
    if let Some(large) = outgoing.iter().map(Outgoing::size).find(|&size| size > max) {
        return Err(TransportError::TooLarge(format!("a message has {large} bytes, and the server takes {max}")));
    }
    for result in store(place, outgoing).await {
        result?;
    }
    Ok(())
}

/// Stores copies, and says of each whether it is stored; a stream that is not there any more is made again.
pub(super) async fn store_copies(place: &Place, outgoing: Vec<Outgoing>) -> Vec<Result<(), TransportError>> {
    let mut results = store(place, outgoing.clone()).await;
    let missing = results.iter().find_map(|result| result.as_ref().err()).cloned();
    if let Some(error) = missing
        && restore_aside(place, &error).await
    {
        let failed: Vec<_> = (0..results.len()).filter(|at| results[*at].is_err()).collect();
        let again = failed.iter().map(|at| outgoing[*at].clone()).collect();
        for (at, result) in failed.into_iter().zip(store(place, again).await) {
            results[at] = result;
        }
    }
    results
}

/// Stores copies, and says of each whether it is stored.
pub(super) async fn store(place: &Place, outgoing: Vec<Outgoing>) -> Vec<Result<(), TransportError>> {
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
            on_their_way.push_back(store_one(place, one));
        }
        while let Some(result) = on_their_way.next().await {
            results.push(result);
        }
    };
    tokio::select! {
        biased;
        () = storing => {}
        () = place.link.lost() => {}
    }
    results.resize_with(count, || Err(place.link.unreachable("the connection was lost")));
    results
}

async fn store_one(place: &Place, one: Outgoing) -> Result<(), TransportError> {
    let subject = one.subject.clone();
    match place.link.ask_patiently(one.subject, one.headers, one.payload).await {
        Ok(answer) => match place.link.read::<PubAck>(&answer.payload)? {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(place.link.failure(&format!("store in stream {}", place.names.stream_taking(&subject)), &error))
            }
        },
        Err(Unanswered::NoResponders) => Err(nobody_listens(place, &subject).await),
        Err(Unanswered::Other(error)) => Err(error),
    }
}

/// Nobody took a message: because nobody would, or because the server is not ready.
async fn nobody_listens(place: &Place, subject: &str) -> TransportError {
    let stream = place.names.stream_taking(subject);
    match stream_info(place, stream).await {
        Ok(None) => missing_stream(stream),
        Ok(Some(info)) if !info.config.subjects.iter().any(|all| super::topology::covers(all, subject)) => {
            let subjects = info.config.subjects.join(",");
            TransportError::Refused(format!("no stream takes the subject {subject}: those of {stream} are {subjects}"))
        }
        Ok(Some(_)) => place.link.unreachable(format!("stream {stream} does not answer yet")),
        Err(error) => error,
    }
}
