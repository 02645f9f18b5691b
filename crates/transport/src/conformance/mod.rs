//! The suite that every transport must pass: a function for each promise, and the list of them.
//!
//! [`transport_conformance!`](crate::transport_conformance) makes a test of each promise.

mod flow;
mod letters;
mod retries;
mod sharing;
mod tools;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::tools::eventually;
pub use self::{flow::*, letters::*, retries::*, sharing::*, whole::*};
use super::Transport;

/// A place at a broker, empty at first, that one test has to itself.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The transport under test, made anew at each call as another process would make it, always to the same place.
    fn transport(&self) -> Arc<dyn Transport>;

    /// Ends the broker by force and starts it again with what it kept. `false` where there is no broker to end.
    async fn restart(&self) -> bool {
        false
    }
}

/// Makes one test of each promise: the attribute of a test (`tokio::test`), then a future of a [`conformance::Harness`]
/// that has a place of its own. Where a broker is too dear to start one for each test, a second future makes the harness
/// for those tests that restart it, and the first may share one.
///
/// [`conformance::Harness`]: crate::conformance::Harness
#[macro_export]
macro_rules! transport_conformance {
    ($test:meta, $harness:expr) => {
        $crate::transport_conformance! { $test, $harness, $harness }
    };
    ($test:meta, $harness:expr, $restarting:expr) => {
        $crate::transport_conformance! { @promises $test, $restarting;
            a_parked_copy_survives_the_consumer
            dead_letters_keep_bytes_headers_and_order
        }
        $crate::transport_conformance! { @promises $test, $harness;
            a_dropped_receive_loses_nothing
            a_retry_comes_back_after_its_delay
            a_returning_consumer_gets_its_own_first
            a_suspect_comes_alone
            a_thousand_delayed_do_not_hold_up_fresh_ones
            ack_removes
            backlog_counts
            batches_are_bounded
            concurrent_consumers_share_without_doubling
            consumers_of_one_name_lose_nothing_and_hold_up_nothing
            nothing_is_lost_in_random_histories
            prepare_may_be_repeated
            publish_then_receive_keeps_bytes_and_headers
            release_hands_back_at_once
            removing_dead_letters_is_selective
            replace_keeps_the_original_until_the_copy_is_there
            scanning_dead_letters_pages
            settle_after_takeover_does_nothing
            settle_may_be_repeated
            what_a_dead_consumer_held_comes_back
            what_waits_is_dated_or_not_at_all
        }
    };
    (@promises $test:meta, $harness:expr; $($promise:ident)+) => {
        $(
            #[$test]
            async fn $promise() {
                $crate::conformance::$promise(&$harness.await).await;
            }
        )+
    };
}
