"""Says what a loader is told, and what it may say beside the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Load:
    """What a loader is told that asks for it."""

    key: str
    #: The changes that must be in what is loaded; 0 is none in particular.
    min_version: int = 0
    #: From 1 on; more where what was loaded before was too old.
    attempt: int = 1

    @property
    def prefer_primary(self) -> bool:
        """Whether what a replica has may be too old."""
        return self.min_version > 0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A value, and what a loader says of it. A loader may as well return the bare value."""

    #: `None` is an absence, and is remembered as such.
    value: Any
    #: Milliseconds, in place of the cache's own; 0 is not stored.
    ttl: int | None = None
    #: The changes up to this one are in the value; claimed before the load's snapshot.
    version: int = 0


def loaded(result: Any) -> Loaded:
    """What a loader returned."""
    return result if isinstance(result, Loaded) else Loaded(result)
