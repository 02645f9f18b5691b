//! Decides whom to believe about who the masters are: sentinels, or the nodes of a cluster.

use std::future::Future;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::StoreError;

/// Asks all witnesses at once and returns the newest of what they said, by the rank that each gives its answer, as soon as more
/// than half have answered; whoever is silent holds up nobody else. One that is cut off from the others goes on naming the
/// masters of before, and is outvoted.
///
/// # Errors
/// When fewer than half answer: what they say may be long out of date.
pub(super) async fn newest<T, R: PartialOrd>(
    asked: impl IntoIterator<Item = impl Future<Output = Result<(R, T), StoreError>>>,
) -> Result<T, StoreError> {
    let mut waiting: FuturesUnordered<_> = asked.into_iter().collect();
    let all = waiting.len();
    let (mut newest, mut answered, mut failures) = (None, 0, Vec::new());
    while answered * 2 <= all
        && let Some(answer) = waiting.next().await
    {
        match answer {
            Ok((rank, said)) => {
                answered += 1;
                if newest.as_ref().is_none_or(|(highest, _)| rank > *highest) {
                    newest = Some((rank, said));
                }
            }
            Err(StoreError::Unreachable(why) | StoreError::Refused(why)) => failures.push(why),
        }
    }
    match newest {
        Some((_, said)) if answered * 2 >= all => Ok(said),
        Some(_) => {
            let why = failures.join("; ");
            Err(StoreError::Unreachable(format!("only {answered} of {all} answered, which may be out of date: {why}")))
        }
        None => Err(StoreError::Unreachable(failures.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::Pin;

    use super::*;

    type Asked = Pin<Box<dyn Future<Output = Result<(u64, &'static str), StoreError>>>>;

    fn says(rank: u64, name: &'static str) -> Asked {
        Box::pin(ready(Ok((rank, name))))
    }

    fn fails() -> Asked {
        Box::pin(ready(Err(StoreError::Unreachable("down".to_owned()))))
    }

    #[tokio::test]
    async fn the_newest_of_a_majority_is_believed_and_nobody_waits_for_the_silent() {
        let cases: [(Vec<Asked>, Result<&str, &str>); 7] = [
            (vec![says(0, "a")], Ok("a")),
            (vec![says(3, "old"), says(4, "new"), Box::pin(pending())], Ok("new")),
            (vec![says(4, "new"), says(3, "old"), fails()], Ok("new")),
            (vec![fails(), says(3, "a")], Ok("a")),
            (vec![fails(), says(3, "a"), fails()], Err("only 1 of 3 answered, which may be out of date: down; down")),
            (vec![fails(), fails()], Err("down; down")),
            (vec![], Err("")),
        ];
        for (number, (asked, expected)) in cases.into_iter().enumerate() {
            let expected = expected.map_err(|why| StoreError::Unreachable(why.to_owned()));
            assert_eq!(newest(asked).await, expected, "case {number}");
        }
    }
}
