//! Readers, a worker, a database with a replica, and an adversary who evicts, restarts, repeats and lets time pass.

use quash_core::freshness::{Codec, Entry, Form, Frame, State, Tag, Taken, Token, Want};

use crate::modes::{Claim, Mode, Mutant, Removal, Store};
use crate::server::{KEYS, Key, Server};

const WRITES_MAX: usize = 4;
const READERS_MAX: usize = 4;
const LEASE_MS: u64 = 10_000;
const HOLD_MS: u64 = 15_000;
const TTL_MS: u64 = 1_000_000_000;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) readers: usize,
    pub(crate) reads: u8,
    pub(crate) writes: u8,
    pub(crate) repeats: u8,
    pub(crate) evictions: u8,
    pub(crate) ticks: u8,
    pub(crate) snapshots: u8,
    pub(crate) restarts: u8,
}

/// How far the event of a write is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd)]
enum Event {
    #[default]
    ToCome,
    Came,
    /// Removed for the first time, of two.
    Half,
    Settled,
}

/// Where a reader is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum At {
    #[default]
    Rest,
    MakesTag,
    Takes,
    Loads,
    Claims,
    Stores,
}

/// What a reader looks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Goal {
    #[default]
    Miss,
    Refresh,
    /// It does not wait for whoever loads, and stores by that one's lease.
    Share,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Reader {
    at: At,
    left: u8,
    tries: u8,
    goal: Goal,
    tag: u32,
    value: u8,
    claim: u8,
    token: Token,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    /// Writes in the database, and of these in the replica.
    primary: u8,
    replica: u8,
    writes: u8,
    events: [Event; WRITES_MAX],
    /// Whether something was born since the first half of a pass.
    born: [bool; WRITES_MAX],
    repeats: u8,
    evictions: u8,
    ticks: u8,
    snapshots: u8,
    restarts: u8,
    tags_made: u32,
    server: Server,
    saved: Option<Server>,
    readers: [Reader; READERS_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Commit,
    Replicate,
    Remove(u8),
    RemoveAgain(u8, bool),
    Repeat(u8),
    Crash(u8),
    Evict(usize),
    Tick,
    Save,
    Restart(bool),
    Get(usize, Goal),
    MakeTag(usize),
    Take(usize),
    Load(usize),
    Claim(usize),
    Store(usize),
}

impl Step {
    /// Whether it is the adversary's own, which random schedules take more seldom: else the cache is empty most of the time.
    pub(crate) const fn is_hostile(self) -> bool {
        matches!(self, Self::Evict(_) | Self::Tick | Self::Restart(_) | Self::Save)
    }
}

impl World {
    pub(crate) fn new(mode: &Mode, size: Size) -> Self {
        let idle = Reader {
            at: At::Rest,
            left: 0,
            tries: 0,
            goal: Goal::Miss,
            tag: 0,
            value: 0,
            claim: 0,
            token: Token::NOBODY,
        };
        let mut readers = [idle; READERS_MAX];
        readers[..size.readers].iter_mut().for_each(|reader| reader.left = size.reads);
        let restarts = |number| if mode.restarts { number } else { 0 };
        Self {
            primary: 0,
            replica: 0,
            writes: size.writes,
            events: [Event::ToCome; WRITES_MAX],
            born: [false; WRITES_MAX],
            repeats: size.repeats,
            evictions: if mode.evicts { size.evictions } else { 0 },
            ticks: size.ticks,
            snapshots: restarts(size.snapshots),
            restarts: restarts(size.restarts),
            tags_made: 10,
            server: Server::default(),
            saved: None,
            readers,
        }
    }

    /// Everything that can happen next.
    pub(crate) fn steps(&self, mode: &Mode, out: &mut Vec<Step>) {
        out.clear();
        if self.primary < self.writes {
            out.push(Step::Commit);
        }
        if mode.replica && self.replica < self.primary {
            out.push(Step::Replicate);
        }
        (1..=self.writes).for_each(|write| self.steps_of_event(mode, write, out));
        if self.evictions > 0 {
            out.extend(
                KEYS.iter()
                    .enumerate()
                    .filter(|(_, key)| self.server.get(**key).is_some())
                    .map(|(at, _)| Step::Evict(at)),
            );
        }
        let lags = |write: u8| self.event(write) >= Event::Half && self.seen(mode) < write;
        if self.ticks > 0 && !(mode.lag_is_short && (1..=self.writes).any(lags)) {
            out.push(Step::Tick);
        }
        if self.snapshots > 0 {
            out.push(Step::Save);
        }
        if self.restarts > 0 {
            out.push(Step::Restart(false));
            out.extend(self.saved.is_some().then_some(Step::Restart(true)));
        }
        (0..self.readers.len()).for_each(|reader| self.steps_of_reader(mode, reader, out));
    }

    fn steps_of_event(&self, mode: &Mode, write: u8, out: &mut Vec<Step>) {
        let event = self.event(write);
        if event == Event::Came || (mode.early && event == Event::ToCome && write == self.primary + 1) {
            out.push(Step::Remove(write));
        }
        let is_visible = self.replica >= write || mode.mutant == Some(Mutant::GateTakesPosition);
        if event == Event::Half && (!mode.gate || is_visible) {
            out.push(Step::RemoveAgain(write, true));
            if mode.removal == Removal::Scan && self.born[usize::from(write) - 1] {
                out.push(Step::RemoveAgain(write, false));
            }
        }
        if self.repeats > 0 && event >= Event::Half {
            out.push(if event == Event::Settled { Step::Repeat(write) } else { Step::Crash(write) });
        }
    }

    fn steps_of_reader(&self, mode: &Mode, id: usize, out: &mut Vec<Step>) {
        let reader = &self.readers[id];
        match reader.at {
            At::Rest if reader.left > 0 => {
                out.push(Step::Get(id, Goal::Miss));
                let entry = self.server.get(Key::Entry).filter(|_| mode.store == Store::ByLease);
                if entry.is_some_and(|entry| entry[3] == b'V') {
                    out.push(Step::Get(id, Goal::Refresh));
                }
                if mode.shared_tokens && entry.is_some_and(|entry| entry[8..24] != *Token::NOBODY.as_bytes()) {
                    out.push(Step::Get(id, Goal::Share));
                }
            }
            At::Rest => {}
            At::MakesTag => out.push(Step::MakeTag(id)),
            At::Takes => out.push(Step::Take(id)),
            At::Loads => out.push(Step::Load(id)),
            At::Claims => out.push(Step::Claim(id)),
            At::Stores => out.push(Step::Store(id)),
        }
    }

    pub(crate) fn apply(&mut self, mode: &Mode, step: Step) {
        let was_there = self.server.get(Key::Entry).is_some();
        match step {
            Step::Commit => {
                self.primary += 1;
                let event = &mut self.events[usize::from(self.primary) - 1];
                *event = if *event == Event::ToCome { Event::Came } else { *event };
            }
            Step::Replicate => self.replica += 1,
            Step::Remove(write) => {
                self.born[usize::from(write) - 1] = false;
                self.remove(mode, write, true);
                let is_once = mode.gate_once && self.replica >= write;
                let event = if has_two_halves(mode) && !is_once { Event::Half } else { Event::Settled };
                self.events[usize::from(write) - 1] = event;
            }
            Step::RemoveAgain(write, visits) => {
                if visits && !mode.gate_late {
                    self.remove(mode, write, false);
                }
                self.events[usize::from(write) - 1] = Event::Settled;
            }
            Step::Repeat(write) => {
                self.repeats -= 1;
                self.remove(mode, write, true);
                if has_two_halves(mode) {
                    self.remove(mode, write, false);
                }
            }
            Step::Crash(write) => {
                self.repeats -= 1;
                self.events[usize::from(write) - 1] = Event::Came;
            }
            Step::Evict(key) => {
                self.evictions -= 1;
                self.server.unlink(KEYS[key]);
            }
            Step::Tick => {
                self.ticks -= 1;
                self.server.pass(LEASE_MS + 1);
            }
            Step::Save => {
                self.snapshots -= 1;
                self.saved = Some(self.server.clone());
            }
            Step::Restart(from_snapshot) => {
                self.restarts -= 1;
                self.server.restart(self.saved.clone().filter(|_| from_snapshot));
                let done = self.events.iter_mut().filter(|event| **event >= Event::Half && !mode.forgets);
                done.for_each(|event| *event = Event::Came);
            }
            Step::Get(id, goal) => self.look(mode, id, goal),
            Step::MakeTag(id) => {
                if self.server.tag() == 0 {
                    match mode.removal {
                        Removal::CountTag => self.server.set(Key::Tag, b"1".to_vec(), None),
                        _ => self.bump(),
                    }
                }
                self.readers[id].tag = self.server.tag();
                self.readers[id].at = after_tags(mode);
            }
            Step::Take(id) => self.take(mode, id),
            Step::Load(id) => {
                let seen = if mode.old_snapshot { self.readers[id].value } else { self.seen(mode) };
                let reader = &mut self.readers[id];
                (reader.value, reader.claim) = (seen, seen);
                reader.at = match mode.claim {
                    _ if mode.mutant == Some(Mutant::TakesAfterLoad) => At::Takes,
                    Claim::AfterLoad => At::Claims,
                    Claim::Never | Claim::BeforeLoad => At::Stores,
                };
            }
            Step::Claim(id) => {
                self.readers[id].claim = self.seen(mode);
                self.readers[id].at = At::Stores;
            }
            Step::Store(id) => self.store(mode, id),
        }
        if !was_there && self.server.get(Key::Entry).is_some() {
            self.born = [true; WRITES_MAX];
        }
    }

    /// Whether the cache would serve, as fresh, something older than a change that is settled.
    pub(crate) fn is_poisoned(&self, mode: &Mode) -> bool {
        let settled = (1..=self.writes.min(self.primary)).filter(|write| self.event(*write) == Event::Settled).max();
        settled.is_some_and(|settled| self.servable(mode).is_some_and(|value| value < settled))
    }

    fn event(&self, write: u8) -> Event {
        self.events[usize::from(write) - 1]
    }

    /// How many writes a load sees.
    fn seen(&self, mode: &Mode) -> u8 {
        if mode.replica { self.replica } else { self.primary }
    }

    /// What a reader that asks now is served as fresh.
    fn servable(&self, mode: &Mode) -> Option<u8> {
        let bytes = self.server.get(Key::Entry)?;
        if mode.store == Store::ByGuard {
            return bytes.first().copied();
        }
        let Frame { state: State::Value(entry), .. } = Frame::decode(bytes)? else { return None };
        let tag = self.server.get(Key::Tag).and_then(Tag::read);
        let is_fresh = !mode.tags || tag.is_some_and(|tag| entry.tags.as_slice() == [tag]);
        entry.payload.first().copied().filter(|_| is_fresh)
    }

    fn remove(&mut self, mode: &Mode, write: u8, is_first: bool) {
        let server = &mut self.server;
        match mode.removal {
            Removal::Unlink | Removal::Twice => server.unlink(Key::Entry),
            Removal::Hold => server.hold(HOLD_MS),
            Removal::Void { versions, hold_ms, stale_ms } => {
                if mode.mutant == Some(Mutant::VoidForgetsBar) {
                    server.forget(37..57);
                }
                server.void(if versions { u64::from(write) } else { 0 }, hold_ms, stale_ms);
            }
            Removal::HoldOrUnlink if write % 2 == 1 => server.hold(HOLD_MS),
            Removal::UnlinkOrBumpTag | Removal::UnlinkOrRenewTag if write % 2 == 1 => server.unlink(Key::Entry),
            Removal::HoldOrUnlink => server.unlink(Key::Entry),
            Removal::BumpTag | Removal::UnlinkOrBumpTag => self.bump(),
            Removal::RenewTag | Removal::UnlinkOrRenewTag if server.tag() != 0 => self.bump(),
            Removal::RenewTag | Removal::UnlinkOrRenewTag => {}
            Removal::CountTag => {
                let next = server.tag() + 1;
                server.set(Key::Tag, next.to_string().into_bytes(), None);
            }
            Removal::GuardAtOnce => unlink_both(server),
            Removal::GuardKeyFirst | Removal::GuardScanOneByOne => {
                server.unlink(if is_first { Key::Entry } else { Key::Guard });
            }
            Removal::GuardFirst => server.unlink(if is_first { Key::Guard } else { Key::Entry }),
            Removal::GuardScanInPairs if !is_first => unlink_both(server),
            Removal::Scan if !is_first => server.unlink(Key::Entry),
            Removal::Scan | Removal::GuardScanInPairs => {}
        }
    }

    fn bump(&mut self) {
        self.tags_made += 1;
        self.server.set(Key::Tag, self.tags_made.to_string().into_bytes(), None);
    }

    fn look(&mut self, mode: &Mode, id: usize, goal: Goal) {
        let tag = if mode.tags { self.server.tag() } else { 0 };
        let (is_hit, seen) = (self.servable(mode).is_some(), self.seen(mode));
        let reader = &mut self.readers[id];
        reader.value = if mode.old_snapshot { seen } else { 0 };
        (reader.goal, reader.tag) = (goal, tag);
        if is_hit && goal == Goal::Miss {
            reader.left -= 1;
        } else {
            reader.at = if mode.tags && tag == 0 { At::MakesTag } else { after_tags(mode) };
        }
    }

    fn take(&mut self, mode: &Mode, id: usize) {
        let reader = &mut self.readers[id];
        reader.tries += 1;
        let token = Token::from_random(0xa00 + id as u64 * 16 + u64::from(reader.tries));
        // An entry of older tags is a miss to readers and a value to the script: they say that they refresh it.
        let refreshes = reader.goal != Goal::Miss || mode.tags;
        let want = if refreshes { Want::Refresh } else { Want::Miss };
        if mode.mutant == Some(Mutant::TakesWhatIsHeld) && self.server.is_held() {
            self.server.forget(24..37);
        }
        let taken = match mode.store {
            Store::ByGuard => self.server.guard_take(token, LEASE_MS),
            _ if self.server.ask(token, LEASE_MS) => Taken::Won { bar: 0, now_ms: 0 },
            _ => self.server.take(token, LEASE_MS, want),
        };
        match taken {
            Taken::Won { .. } => {
                let is_loaded = mode.mutant == Some(Mutant::TakesAfterLoad);
                (reader.at, reader.token) = (if is_loaded { At::Stores } else { At::Loads }, token);
            }
            Taken::Busy { .. } if reader.goal == Goal::Share => {
                let key = if mode.store == Store::ByGuard { Key::Guard } else { Key::Entry };
                let there = self.server.get(key).and_then(|bytes| Token::read(&bytes[8..24]));
                (reader.at, reader.token) = (At::Loads, there.expect("a lease has a token"));
            }
            _ => {
                reader.at = At::Rest;
                reader.left -= 1;
            }
        }
    }

    fn store(&mut self, mode: &Mode, id: usize) {
        let mut reader = self.readers[id];
        if mode.mutant == Some(Mutant::ReadsTagsAfterLoad) && self.server.tag() != 0 {
            reader.tag = self.server.tag();
        }
        let version = if mode.claim == Claim::Never { 0 } else { u64::from(reader.claim) };
        let tags = mode.tags.then(|| Tag::read(reader.tag.to_string().as_bytes()).expect("a number"));
        let (codec, form, encryption) = (Codec::Plain, Form::Value, None);
        let tags = tags.into_iter().collect();
        let entry = Entry { codec, form, encryption, fresh_until_ms: 0, tags, payload: &[reader.value] };
        let entry = entry.encode(version).expect("one tag at most");
        match mode.store {
            Store::Plainly => self.server.set(Key::Entry, entry, Some(TTL_MS)),
            Store::IfAbsent if self.server.get(Key::Entry).is_some() => {}
            Store::IfAbsent => self.server.set(Key::Entry, entry, Some(TTL_MS)),
            Store::ByLease if mode.mutant == Some(Mutant::FillsAnyway) => {
                self.server.set(Key::Entry, entry, Some(TTL_MS));
            }
            Store::ByLease => self.server.fill(reader.token, version, entry, TTL_MS),
            Store::ByGuard => self.server.guard_fill(reader.token, vec![reader.value], TTL_MS),
        }
        let (left, tries) = (reader.left - 1, reader.tries);
        let idle =
            Reader { at: At::Rest, left, tries, goal: Goal::Miss, tag: 0, value: 0, claim: 0, token: Token::NOBODY };
        self.readers[id] = idle;
    }
}

fn has_two_halves(mode: &Mode) -> bool {
    let of_removal = [
        Removal::Twice,
        Removal::Scan,
        Removal::GuardKeyFirst,
        Removal::GuardFirst,
        Removal::GuardScanOneByOne,
        Removal::GuardScanInPairs,
    ];
    mode.gate || of_removal.contains(&mode.removal)
}

fn after_tags(mode: &Mode) -> At {
    let is_late = mode.mutant == Some(Mutant::TakesAfterLoad);
    if matches!(mode.store, Store::ByLease | Store::ByGuard) && !is_late { At::Takes } else { At::Loads }
}

fn unlink_both(server: &mut Server) {
    server.unlink(Key::Entry);
    server.unlink(Key::Guard);
}
