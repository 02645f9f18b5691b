//! The suite that every transport must pass: one promise a file.
//!
//! [`transport_conformance!`](crate::transport_conformance) makes a test of each promise.

// The flow.
mod a_dropped_receive_loses_nothing;
mod ack_removes;
mod batches_are_bounded;
mod prepare_may_be_repeated;
mod publish_then_receive_keeps_bytes_and_headers;

// Sharing, and handing over.
mod a_returning_consumer_gets_its_own_first;
mod a_suspect_comes_alone;
mod concurrent_consumers_share_without_doubling;
mod consumers_of_one_name_lose_nothing_and_hold_up_nothing;
mod release_hands_back_at_once;
mod settle_after_takeover_does_nothing;
mod what_a_dead_consumer_held_comes_back;

// Retries.
mod a_parked_copy_survives_the_consumer;
mod a_retry_comes_back_after_its_delay;
mod a_thousand_delayed_do_not_hold_up_fresh_ones;
mod replace_keeps_the_original_until_the_copy_is_there;
mod settle_may_be_repeated;

// Dead letters.
mod dead_letters_keep_bytes_headers_and_order;
mod removing_dead_letters_is_selective;
mod scanning_dead_letters_pages;

// The whole.
mod backlog_counts;
mod nothing_is_lost_in_random_histories;
mod what_waits_is_dated_or_not_at_all;

mod tools;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::tools::eventually;
pub use self::{
    a_dropped_receive_loses_nothing::a_dropped_receive_loses_nothing,
    a_parked_copy_survives_the_consumer::a_parked_copy_survives_the_consumer,
    a_retry_comes_back_after_its_delay::a_retry_comes_back_after_its_delay,
    a_returning_consumer_gets_its_own_first::a_returning_consumer_gets_its_own_first,
    a_suspect_comes_alone::a_suspect_comes_alone,
    a_thousand_delayed_do_not_hold_up_fresh_ones::a_thousand_delayed_do_not_hold_up_fresh_ones,
    ack_removes::ack_removes, backlog_counts::backlog_counts, batches_are_bounded::batches_are_bounded,
    concurrent_consumers_share_without_doubling::concurrent_consumers_share_without_doubling,
    consumers_of_one_name_lose_nothing_and_hold_up_nothing::consumers_of_one_name_lose_nothing_and_hold_up_nothing,
    dead_letters_keep_bytes_headers_and_order::dead_letters_keep_bytes_headers_and_order,
    nothing_is_lost_in_random_histories::nothing_is_lost_in_random_histories,
    prepare_may_be_repeated::prepare_may_be_repeated,
    publish_then_receive_keeps_bytes_and_headers::publish_then_receive_keeps_bytes_and_headers,
    release_hands_back_at_once::release_hands_back_at_once,
    removing_dead_letters_is_selective::removing_dead_letters_is_selective,
    replace_keeps_the_original_until_the_copy_is_there::replace_keeps_the_original_until_the_copy_is_there,
    scanning_dead_letters_pages::scanning_dead_letters_pages,
    settle_after_takeover_does_nothing::settle_after_takeover_does_nothing,
    settle_may_be_repeated::settle_may_be_repeated,
    what_a_dead_consumer_held_comes_back::what_a_dead_consumer_held_comes_back,
    what_waits_is_dated_or_not_at_all::what_waits_is_dated_or_not_at_all,
};
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
