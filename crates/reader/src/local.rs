//! Looks for entries in this process first, where the application asked for that and the crate is built with it.

#[cfg(feature = "moka")]
pub(crate) use with_copies::{Local, Mark};
#[cfg(not(feature = "moka"))]
pub(crate) use without::{Local, Mark};

#[cfg(feature = "moka")]
mod with_copies {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use redis::Client;

    use crate::config::Spot;
    use crate::l1::Copies;
    pub(crate) use crate::l1::Mark;
    use crate::tracking;

    /// The copy of entries in this process, if there is one.
    #[derive(Default)]
    pub(crate) struct Local(Option<Tracked>);

    struct Tracked {
        copies: Arc<Copies>,
        client: Client,
        prefixes: Vec<String>,
        is_started: AtomicBool,
    }

    impl Local {
        /// A copy that is told of changes by this client. It is begun when it is first asked.
        pub(crate) const fn new(copies: Arc<Copies>, client: Client, prefixes: Vec<String>) -> Self {
            Self(Some(Tracked { copies, client, prefixes, is_started: AtomicBool::new(false) }))
        }

        pub(crate) fn get<V: Send + Sync + 'static>(&self, spot: &Spot) -> Option<Option<Arc<V>>> {
            let tracked = self.0.as_ref()?;
            if !tracked.is_started.load(Relaxed) && !tracked.is_started.swap(true, Relaxed) {
                tracking::start(tracked.client.clone(), tracked.prefixes.clone(), &tracked.copies);
            }
            tracked.copies.get(spot)
        }

        /// To be taken before the server is asked.
        pub(crate) fn mark(&self, spot: &Spot) -> Option<Mark> {
            self.0.as_ref()?.copies.mark(spot)
        }

        pub(crate) fn put<V: Send + Sync + 'static>(
            &self,
            spot: &Spot,
            mark: Option<Mark>,
            value: &Option<Arc<V>>,
            fresh_until_ms: u64,
        ) {
            if let (Some(tracked), Some(mark)) = (&self.0, mark) {
                tracked.copies.put(spot, mark, value.clone(), fresh_until_ms);
            }
        }

        /// This process changed a key.
        pub(crate) fn touch(&self, key: &str) {
            self.0.iter().for_each(|tracked| tracked.copies.touch(key.as_bytes()));
        }
    }
}

#[cfg(not(feature = "moka"))]
mod without {
    use std::sync::Arc;

    use crate::config::Spot;

    /// No copy of entries in this process.
    #[derive(Default)]
    pub(crate) struct Local;

    /// Of nothing.
    pub(crate) struct Mark;

    #[expect(clippy::unused_self, reason = "it stands for a copy that is not built in")]
    impl Local {
        pub(crate) const fn get<V>(&self, _spot: &Spot) -> Option<Option<Arc<V>>> {
            None
        }

        pub(crate) const fn mark(&self, _spot: &Spot) -> Option<Mark> {
            None
        }

        pub(crate) const fn put<V>(&self, _: &Spot, _: Option<Mark>, _: &Option<Arc<V>>, _: u64) {}

        pub(crate) const fn touch(&self, _key: &str) {}
    }
}
