//! Names what happens to readers, for whoever counts it.

/// Is told what happens. It is called where it happens: it must not block.
pub trait Observer: Send + Sync + 'static {
    /// Something happened to a reader of this cache.
    fn on(&self, cache: &str, event: Event);
}

/// Nobody.
impl Observer for () {
    fn on(&self, _cache: &str, _event: Event) {}
}

/// What happens to a reader. What it was served from is one of `Hit`, `Stale` and `Miss` each time; the others come beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// It was served a fresh entry.
    Hit(Tier),
    /// It was served an entry that a change made stale, which the cache allows for a while.
    Stale,
    /// It had to load.
    Miss(Miss),
    /// It waited for somebody else who loads.
    Waited,
    /// It loaded although somebody else does, and stores by that one's lease: the other takes long, or died.
    Shared,
    /// What it loaded is stored.
    Stored,
    /// What it loaded is not stored.
    Refused(Refused),
    /// Nothing may be stored for now, because a change is not visible everywhere yet.
    Held,
    /// The load failed.
    LoadFailed,
    /// The cache could not be asked, or was not because it could not be asked within the last second.
    RedisFailed,
}

/// Where an entry was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// In this process.
    L1,
    /// On the server.
    Redis,
}

/// Why there was no entry to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// There was none.
    Absent,
    /// It was of an older generation than its tags, or was declared with other tags.
    OldTags,
    /// What stands there was not written by a reader. It is left alone, and what is loaded is not stored.
    Foreign,
    /// It cannot be decoded: another type of value, or another codec.
    Undecodable,
    /// The caller asked for it to be loaded anew.
    Forced,
}

/// Why what was loaded is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// A change came while it was loaded, so it may be stale; or the entry was evicted.
    Voided,
    /// Loading took longer than the lease: lengthen `lease`.
    Slow,
    /// It does not hold the change that made the entry stale.
    TooOld,
    /// The codec cannot encode it.
    Unencodable,
}

impl Event {
    /// Its name in metrics, of lower-case letters and underscores.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit(Tier::L1) => "hit_l1",
            Self::Hit(Tier::Redis) => "hit",
            Self::Stale => "stale",
            Self::Miss(Miss::Absent) => "miss_absent",
            Self::Miss(Miss::OldTags) => "miss_old_tags",
            Self::Miss(Miss::Foreign) => "miss_foreign",
            Self::Miss(Miss::Undecodable) => "miss_undecodable",
            Self::Miss(Miss::Forced) => "miss_forced",
            Self::Waited => "waited",
            Self::Shared => "shared",
            Self::Stored => "stored",
            Self::Refused(Refused::Voided) => "refused_voided",
            Self::Refused(Refused::Slow) => "refused_slow",
            Self::Refused(Refused::TooOld) => "refused_too_old",
            Self::Refused(Refused::Unencodable) => "refused_unencodable",
            Self::Held => "held",
            Self::LoadFailed => "load_failed",
            Self::RedisFailed => "redis_failed",
        }
    }
}
