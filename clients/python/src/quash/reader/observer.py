"""Tells those who want to know what became of each read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

logger = logging.getLogger("quash")

#: What may happen. `miss` comes with `foreign`, `undecodable` or `old_tags` where that is why, `refused` with `slow` or
#: `too_old`.
Event = Literal[
    "hit",
    "stale",
    "miss",
    "old_tags",
    "foreign",
    "undecodable",
    "waited",
    "shared",
    "held",
    "stored",
    "blind",
    "refused",
    "slow",
    "too_old",
    "removed",
    "load_failed",
    "redis_failed",
]
#: Called with the cache's name, the event and the physical key.
Observer = Callable[[str, Event, str], object]


class Observers:
    """Those who listen, of all caches."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._observers)

    def add(self, observer: Observer) -> None:
        """Calls it from now on, in whichever thread something happens."""
        self._observers.append(observer)

    def tell(self, cache: str, event: Event, key: str) -> None:
        """Tells all of them; one that fails is logged, and harms no read."""
        for observer in self._observers:
            try:
                observer(cache, event, key)
            except Exception:
                logger.exception("an observer of the cache %s failed at %s", cache, event)
