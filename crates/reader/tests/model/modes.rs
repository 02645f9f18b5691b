//! Lists what readers and workers can do: what must hold, and the controls that must fail.

/// How a reader stores what it loaded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Store {
    /// Whatever stands there.
    Plainly,
    /// Where nothing stands.
    IfAbsent,
    /// By a lease at the key.
    ByLease,
    /// By a lease in a key beside the value.
    ByGuard,
}

/// How a worker makes the entry stale.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Removal {
    Unlink,
    Twice,
    Hold,
    Void {
        versions: bool,
        hold_ms: u64,
        stale_ms: u64,
    },
    BumpTag,
    RenewTag,
    CountTag,
    HoldOrUnlink,
    UnlinkOrBumpTag,
    UnlinkOrRenewTag,
    /// A pass: what is born while it runs may be visited or not.
    Scan,
    GuardAtOnce,
    GuardKeyFirst,
    GuardFirst,
    GuardScanOneByOne,
    GuardScanInPairs,
}

/// When a reader finds out what version its load knows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Claim {
    Never,
    BeforeLoad,
    AfterLoad,
}

/// What an implementation could do wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Mutant {
    /// It fills without comparing the lease.
    FillsAnyway,
    /// It takes the lease after the load.
    TakesAfterLoad,
    /// It reads the tags after the load.
    ReadsTagsAfterLoad,
    /// Its gate takes the position of the primary's log for what is visible where loads read.
    GateTakesPosition,
    /// Its `void` forgets what a fill had to reach before.
    VoidForgetsBar,
    /// Its `take` lets a reader refresh what is held.
    TakesWhatIsHeld,
}

/// One way to read and to remove, and what may go wrong around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) holds: bool,
    pub(crate) store: Store,
    pub(crate) removal: Removal,
    pub(crate) tags: bool,
    pub(crate) claim: Claim,
    /// Loads read from a replica.
    pub(crate) replica: bool,
    /// The last removal waits until the change is visible where loads read.
    pub(crate) gate: bool,
    /// One removal does where the change was visible before it.
    pub(crate) gate_once: bool,
    /// The gate is asked after the removal, and none comes behind it.
    pub(crate) gate_late: bool,
    /// The event may come before the change is visible.
    pub(crate) early: bool,
    /// Readers that do not wait use the token that they see.
    pub(crate) shared_tokens: bool,
    /// Loads read a snapshot from before the lease.
    pub(crate) old_snapshot: bool,
    /// The replica follows before a hold ends.
    pub(crate) lag_is_short: bool,
    pub(crate) evicts: bool,
    pub(crate) restarts: bool,
    /// What a restart lost is not replayed.
    pub(crate) forgets: bool,
    pub(crate) mutant: Option<Mutant>,
}

const LEASE: Mode = Mode {
    name: "lease",
    holds: true,
    store: Store::ByLease,
    removal: Removal::Unlink,
    tags: false,
    claim: Claim::Never,
    replica: false,
    gate: false,
    gate_once: false,
    gate_late: false,
    early: false,
    shared_tokens: false,
    old_snapshot: false,
    lag_is_short: false,
    evicts: true,
    restarts: true,
    forgets: false,
    mutant: None,
};
const GENERATION: Mode =
    Mode { name: "generation", store: Store::Plainly, removal: Removal::BumpTag, tags: true, ..LEASE };
const GUARD: Mode = Mode { name: "guard", store: Store::ByGuard, removal: Removal::GuardAtOnce, ..LEASE };
/// On a replica, with nothing but the hold to wait for it.
const HOLD: Mode = Mode {
    name: "hold",
    removal: Removal::Hold,
    replica: true,
    lag_is_short: true,
    evicts: false,
    restarts: false,
    ..LEASE
};
const STALE: Removal = Removal::Void { versions: false, hold_ms: 0, stale_ms: 50_000 };
const VERSION: Mode = Mode {
    name: "version",
    removal: Removal::Void { versions: true, hold_ms: 15_000, stale_ms: 0 },
    claim: Claim::BeforeLoad,
    ..LEASE
};
/// On a replica, with nothing but its bars to wait for it.
const VERSION_HELD: Mode = Mode { replica: true, lag_is_short: true, evicts: false, restarts: false, ..VERSION };

/// What must fail: each lacks one thing that the protocol rests on.
pub(crate) fn controls() -> Vec<Mode> {
    let lease = Mode { holds: false, ..LEASE };
    let plain = Mode { store: Store::Plainly, ..lease };
    let generation = Mode { holds: false, ..GENERATION };
    let guard = Mode { holds: false, ..GUARD };
    let hold = Mode { holds: false, ..HOLD };
    let version = Mode { holds: false, ..VERSION_HELD };
    vec![
        Mode { name: "delete, stored plainly", ..plain },
        Mode { name: "delete twice, stored plainly", removal: Removal::Twice, ..plain },
        Mode { name: "tombstone, stored where absent", store: Store::IfAbsent, removal: Removal::Hold, ..lease },
        Mode { name: "generation, exact keys removed", removal: Removal::UnlinkOrBumpTag, ..generation },
        Mode { name: "generation as a counter that is evicted", removal: Removal::CountTag, ..generation },
        Mode { name: "generation on a replica without a gate", replica: true, ..generation },
        Mode { name: "lease on a replica without a gate", replica: true, ..lease },
        Mode { name: "lease, event before the change is visible", early: true, ..lease },
        Mode { name: "lease, restart from a snapshot and nothing replayed", forgets: true, ..lease },
        Mode { name: "lease, snapshot older than the lease", old_snapshot: true, ..lease },
        Mode { name: "gate asked after the removal", replica: true, gate: true, gate_late: true, ..lease },
        Mode { name: "hold, evicted", evicts: true, ..hold },
        Mode { name: "hold, lag longer than it", lag_is_short: false, ..hold },
        Mode { name: "hold, what is held is removed by another rule", removal: Removal::HoldOrUnlink, ..hold },
        Mode { name: "version claimed after the load", claim: Claim::AfterLoad, restarts: true, ..version },
        Mode { name: "version on a replica, evicted", evicts: true, restarts: true, ..version },
        Mode { name: "guard, a pass that removes names one by one", removal: Removal::GuardScanOneByOne, ..guard },
        Mode { name: "guard, key removed before it", removal: Removal::GuardKeyFirst, ..guard },
    ]
}

/// What must be caught: each is a promise of below, with one mistake. What removes exact keys in `generation`, asks the gate after
/// the removal, or removes key and guard apart is among the controls.
pub(crate) fn mutants() -> Vec<Mode> {
    let of = |mutant, mode: Mode| Mode { holds: false, mutant: Some(mutant), ..mode };
    let hold_stale = Removal::Void { versions: false, hold_ms: 15_000, stale_ms: 50_000 };
    vec![
        of(Mutant::FillsAnyway, Mode { name: "fill without comparing", ..LEASE }),
        of(Mutant::TakesAfterLoad, Mode { name: "lease taken after the load", ..LEASE }),
        of(Mutant::ReadsTagsAfterLoad, Mode { name: "tags read after the load", ..GENERATION }),
        of(Mutant::GateTakesPosition, Mode { name: "gate that takes a position", replica: true, gate: true, ..LEASE }),
        of(Mutant::VoidForgetsBar, Mode { name: "void that forgets the bar", ..VERSION_HELD }),
        of(Mutant::TakesWhatIsHeld, Mode { name: "refresh under a hold", removal: hold_stale, ..HOLD }),
    ]
}

/// What must hold.
pub(crate) fn promises() -> Vec<Mode> {
    let gated = |mode: Mode| Mode { replica: true, gate: true, ..mode };
    let shared = |mode: Mode| Mode { shared_tokens: true, ..mode };
    let stale = Mode { removal: STALE, ..LEASE };
    let tagged = Mode { removal: Removal::UnlinkOrBumpTag, tags: true, ..LEASE };
    let version_stale = Removal::Void { versions: true, hold_ms: 15_000, stale_ms: 50_000 };
    let hold_stale = Removal::Void { versions: false, hold_ms: 15_000, stale_ms: 50_000 };
    vec![
        Mode { name: "generation, tag bumped", ..GENERATION },
        Mode { name: "generation, tag renewed where there is one", removal: Removal::RenewTag, ..GENERATION },
        Mode { name: "generation, replica and gate", ..gated(GENERATION) },
        Mode { name: "lease", ..LEASE },
        Mode { name: "lease, tokens shared", ..shared(LEASE) },
        Mode { name: "lease, prefix pass", removal: Removal::Scan, ..LEASE },
        Mode { name: "lease and stale", ..stale },
        Mode { name: "lease and stale, tokens shared", ..shared(stale) },
        Mode { name: "lease and tags", ..tagged },
        Mode { name: "lease and tags, renewed where there are any", removal: Removal::UnlinkOrRenewTag, ..tagged },
        Mode { name: "lease, replica and gate", ..gated(LEASE) },
        Mode { name: "lease, replica and gate asked before", gate_once: true, ..gated(LEASE) },
        Mode { name: "lease and stale, replica and gate", ..gated(stale) },
        Mode { name: "lease and tags, replica and gate", ..gated(tagged) },
        Mode { name: "hold, short lag, nothing evicted", ..HOLD },
        Mode { name: "hold and stale, short lag, nothing evicted", removal: hold_stale, ..HOLD },
        Mode { name: "version", ..VERSION },
        Mode { name: "version, tokens shared", ..shared(VERSION) },
        Mode { name: "version, short lag, nothing evicted", ..VERSION_HELD },
        Mode { name: "version and stale, short lag, nothing evicted", removal: version_stale, ..VERSION_HELD },
        Mode { name: "version, replica and gate", ..gated(VERSION) },
        Mode { name: "version, early events, short lag", early: true, replica: false, ..VERSION_HELD },
        Mode { name: "guard, both names at once", ..GUARD },
        Mode { name: "guard, removed before the key", removal: Removal::GuardFirst, ..GUARD },
        Mode { name: "guard, a pass that removes names in pairs", removal: Removal::GuardScanInPairs, ..GUARD },
    ]
}
