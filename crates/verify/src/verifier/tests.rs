//! Proves with a truth in memory what is found, what is not, and what is never touched.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use quash_core::rule::freshness::{Foreign, Freshness, Layout};
use quash_store::memory::Memory;

use super::*;

/// What stands in an entry is true if this says so, by its key.
#[derive(Default)]
struct Known {
    stale: Mutex<BTreeSet<String>>,
    silent: Mutex<BTreeSet<String>>,
}

#[async_trait]
impl Truth for Known {
    async fn ask(&self, asked: &Asked<'_>) -> Answer {
        if self.silent.lock().unwrap().contains(asked.key) {
            return Answer::Unknown("silent".to_owned());
        }
        let is_stale = self.stale.lock().unwrap().contains(asked.key) || asked.payload.stored == b"spoilt";
        if is_stale { Answer::Other(None) } else { Answer::Same }
    }

    fn spoilt(&self, _: &Payload) -> Option<Vec<u8>> {
        Some(b"spoilt".to_vec())
    }
}

#[derive(Default)]
struct Heard {
    counts: Mutex<crate::SampleCounts>,
    violations: Mutex<Vec<String>>,
    canaries: Mutex<Vec<bool>>,
}

impl Watch for Heard {
    fn sampled(&self, cache: &str, target: &str, within: Duration, outcome: Outcome) {
        self.counts.lock().unwrap().add(cache, target, within, outcome);
    }

    fn violated(&self, violation: &Violation) {
        self.violations.lock().unwrap().push(format!("{} {}", violation.key, violation.within_ms));
    }

    fn canary(&self, _: &str, _: &str, found: bool) {
        self.canaries.lock().unwrap().push(found);
    }

    fn skipped(&self, _: &str, _: &str) {}
}

impl Heard {
    fn of(&self, within_ms: u64, outcome: Outcome) -> u64 {
        let counts = self.counts.lock().unwrap();
        counts.0.get(&("product".to_owned(), "main".to_owned(), within_ms)).map_or(0, |count| count.of(outcome))
    }
}

struct Scene {
    memory: Memory,
    truth: Arc<Known>,
    heard: Heard,
    verifier: Verifier,
}

impl Scene {
    fn new(budget: u32, within: &[u64], canary: Duration) -> Self {
        let yaml = "{ version: 1, targets: { main: { memory: {} } }, \
                    caches: { product: { key: 'product:{id}', depends_on: [ { row: shop.Product } ] } } }";
        let rules = Arc::new(Config::parse(yaml).unwrap().compile().0.unwrap());
        let (memory, truth) = (Memory::new(), Arc::new(Known::default()));
        let readers = Readers { freshness: Freshness::None, layout: Layout::Framed, foreign: Foreign::Refuse };
        let location = rules.locations().remove(0);
        let product = Compared {
            name: "product".to_owned(),
            id: CacheId(0),
            keys: location.entries.keys.iter().map(|key| key.matcher()).collect(),
            readers,
            truth: truth.clone(),
            canary: Canary::new(canary, Instant::now()),
        };
        let within = within.iter().map(|ms| Duration::from_millis(*ms)).collect();
        let store = Arc::new(memory.clone());
        let verifier = Verifier::new("main", TargetId(0), store, rules, vec![product], within, budget);
        Self { memory, truth, heard: Heard::default(), verifier }
    }

    fn fill(&self, entries: u64) {
        (0..entries).for_each(|id| self.memory.set(format!("product:{id:06}"), "value"));
    }

    /// Takes samples until all keys were seen, and looks again until nothing waits.
    async fn once(&mut self) {
        while self.verifier.progress().rounds == 0 {
            self.verifier.step(u64::MAX, &self.heard).await.unwrap();
        }
        while !self.verifier.progress().is_settled {
            self.verifier.step(0, &self.heard).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_one_in_ten_thousand_is_found_in_full() {
    let mut scene = Scene::new(100_000, &[1000], Duration::ZERO);
    scene.fill(100_000);
    let stale: BTreeSet<String> = (0..10).map(|nth| format!("product:{:06}", nth * 9_973 + 17)).collect();
    scene.truth.stale.lock().unwrap().extend(stale.iter().cloned());
    scene.once().await;
    let found: BTreeSet<String> =
        scene.heard.violations.lock().unwrap().iter().map(|line| line.replace(" 1000", "")).collect();
    assert_eq!(found, stale);
    assert_eq!((scene.heard.of(1000, Outcome::Stale), scene.heard.of(1000, Outcome::Fresh)), (10, 99_990));
    assert_eq!(scene.memory.len(), 100_000, "nothing was written");
}

#[tokio::test(start_paused = true)]
async fn samples_without_end_of_what_is_right_give_no_violation() {
    let mut scene = Scene::new(100_000, &[1000], Duration::ZERO);
    scene.fill(100_000);
    while scene.verifier.progress().samples < 300_000 {
        scene.verifier.step(u64::MAX, &scene.heard).await.unwrap();
    }
    assert_eq!(*scene.heard.violations.lock().unwrap(), [""; 0]);
    assert!(scene.heard.of(1000, Outcome::Fresh) >= 300_000);
}

#[tokio::test(start_paused = true)]
async fn what_is_mended_in_time_is_fresh_from_then_on() {
    let mut scene = Scene::new(1000, &[1000, 60_000], Duration::ZERO);
    scene.fill(3);
    scene.truth.stale.lock().unwrap().extend(["product:000000".to_owned(), "product:000001".to_owned()]);
    while scene.verifier.progress().samples < 3 {
        scene.verifier.step(3, &scene.heard).await.unwrap();
    }
    // One is loaded anew, with other bytes.
    scene.memory.set("product:000000", "new");
    while scene.heard.of(1000, Outcome::Stale) == 0 {
        scene.verifier.step(0, &scene.heard).await.unwrap();
    }
    // The other goes after the first of the times.
    scene.memory.apply(&[quash_core::action::Action::Delete("product:000001".into())]).await.unwrap();
    while !scene.verifier.progress().is_settled {
        scene.verifier.step(0, &scene.heard).await.unwrap();
    }
    assert_eq!(*scene.heard.violations.lock().unwrap(), ["product:000001 1000"]);
    assert_eq!((scene.heard.of(1000, Outcome::Stale), scene.heard.of(1000, Outcome::Fresh)), (1, 2));
    assert_eq!((scene.heard.of(60_000, Outcome::Stale), scene.heard.of(60_000, Outcome::Fresh)), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_unknown() {
    let mut scene = Scene::new(1000, &[1000], Duration::ZERO);
    scene.fill(3);
    scene.truth.silent.lock().unwrap().insert("product:000000".to_owned());
    scene.truth.stale.lock().unwrap().insert("product:000001".to_owned());
    while scene.verifier.progress().samples < 3 {
        scene.verifier.step(3, &scene.heard).await.unwrap();
    }
    scene.memory.set_reachable(false);
    let mut failed = false;
    while !scene.verifier.progress().is_settled {
        failed |= scene.verifier.step(0, &scene.heard).await.is_err();
    }
    assert!(failed && scene.verifier.step(9, &scene.heard).await.is_err());
    let of = |outcome| scene.heard.of(1000, outcome);
    assert_eq!((of(Outcome::Undecided), of(Outcome::Fresh), of(Outcome::Stale)), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_entry_made_stale_on_purpose_is_found_and_a_blind_verifier_says_so() {
    let mut scene = Scene::new(1000, &[1000], Duration::from_secs(3600));
    scene.fill(3);
    scene.once().await;
    assert_eq!(*scene.heard.canaries.lock().unwrap(), [true]);
    assert_eq!(scene.heard.of(1000, Outcome::Stale), 0, "it is no violation");
    let own: Vec<String> = scene.memory.entries().into_keys().filter(|key| !key.starts_with("product:")).collect();
    assert_eq!(own, ["quash:canary:product"]);

    let mut blind = Scene::new(1000, &[1000], Duration::from_secs(3600));
    blind.fill(3);
    blind.truth.silent.lock().unwrap().insert("quash:canary:product".to_owned());
    blind.once().await;
    assert_eq!(*blind.heard.canaries.lock().unwrap(), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_kept() {
    let mut scene = Scene::new(5, &[1000], Duration::ZERO);
    scene.fill(1000);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        scene.verifier.step(u64::MAX, &scene.heard).await.unwrap();
    }
    let samples = scene.verifier.progress().samples;
    assert!((290..=301).contains(&samples), "{samples}");
}
