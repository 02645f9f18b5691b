//! Remembers who logged in, by random names that stand in cookies in the place of tokens.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The name of the cookie.
pub(crate) const COOKIE: &str = "quash_session";
/// How long a login lasts: a shift.
pub(crate) const LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at once; the oldest makes room. Only who has a token opens any.
const SESSIONS_MAX: usize = 256;

/// Who logged in.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

struct Session {
    who: Arc<str>,
    since: Instant,
}

impl Sessions {
    /// Opens a session and says its name: 256 bits that nobody guesses.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn open(&self, who: &Arc<str>) -> io::Result<String> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        let name = bytes.iter().fold(String::with_capacity(64), |mut name, byte| {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
            name
        });
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.since.elapsed() < LASTS);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.since).map(|(name, _)| name.clone());
            oldest.map(|name| sessions.remove(&name));
        }
        sessions.insert(name.clone(), Session { who: Arc::clone(who), since: Instant::now() });
        Ok(name)
    }

    /// The name of the one who opened it, while it lasts.
    pub(crate) fn who(&self, name: &str) -> Option<Arc<str>> {
        let sessions = self.lock();
        sessions.get(name).filter(|session| session.since.elapsed() < LASTS).map(|session| Arc::clone(&session.who))
    }

    /// Ends it.
    pub(crate) fn close(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Held for moments only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_a_shift_or_until_it_is_closed() {
        let (sessions, alice) = (Sessions::default(), "alice".into());
        let (one, other) = (sessions.open(&alice).unwrap(), sessions.open(&alice).unwrap());
        assert_ne!(one, other);
        sessions.close(&one);
        assert_eq!((sessions.who(&one), sessions.who(&other)), (None, Some(alice)));
        tokio::time::advance(LASTS).await;
        assert_eq!((sessions.who(&other), sessions.who("")), (None, None));
    }

    #[tokio::test]
    async fn there_is_a_bound_and_the_oldest_makes_room() {
        let (sessions, alice) = (Sessions::default(), "alice".into());
        let first = sessions.open(&alice).unwrap();
        for _ in 0..SESSIONS_MAX {
            sessions.open(&alice).unwrap();
        }
        assert_eq!((sessions.who(&first), sessions.lock().len()), (None, SESSIONS_MAX));
    }
}
