"""Bends what publishing does inside of a `with` block: nothing, less, or into a list for tests."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, overload

from .coalesce import coalesced

Documents = list[dict[str, Any]]
Deliver = Callable[[Documents], None]


class Fate(Protocol):
    """Whether what was recorded came true."""

    @property
    def is_lost(self) -> bool:
        """Whether it was rolled back."""


class Captured(Sequence[dict[str, Any]]):
    """The events of a `captured_events` block, as native JSON, without those that were rolled back."""

    def __init__(self) -> None:
        self._entries: list[tuple[dict[str, Any], Fate | None]] = []

    def add(self, document: dict[str, Any], fate: Fate | None = None) -> None:
        """Takes one in; its fate may still be open."""
        self._entries.append((document, fate))

    def clear(self) -> None:
        """Forgets what was captured so far."""
        self._entries.clear()

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Documents: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Documents:
        return self._standing()[index]

    def __len__(self) -> int:
        return len(self._standing())

    def __repr__(self) -> str:
        return repr(self._standing())

    def _standing(self) -> Documents:
        return [document for document, fate in self._entries if fate is None or not fate.is_lost]


class Batch:
    """What a `coalesce` block has gathered."""

    def __init__(self) -> None:
        self.is_open = True
        self._gathered: list[tuple[Deliver, Documents]] = []

    def add(self, documents: Documents, deliver: Deliver) -> None:
        """Keeps them until the block ends."""
        for known, gathered in self._gathered:
            if known == deliver:
                gathered.extend(documents)
                return
        self._gathered.append((deliver, list(documents)))

    def close(self) -> None:
        """Delivers what was gathered."""
        self.is_open = False
        gathered, self._gathered = self._gathered, []
        for deliver, documents in gathered:
            deliver(coalesced(documents))


_disabled: contextvars.ContextVar[bool] = contextvars.ContextVar("quash_disabled", default=False)
_batch: contextvars.ContextVar[Batch | None] = contextvars.ContextVar("quash_batch", default=None)
# Not of one context: a test looks at what its threads publish.
_captures: list[Captured] = []


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Publishes nothing of what changes inside. For imports after which whole caches are invalidated anyway."""
    token = _disabled.set(True)
    try:
        yield
    finally:
        _disabled.reset(token)


@contextlib.contextmanager
def coalesce() -> Iterator[None]:
    """Publishes at the end of the block, in one batch, with repeats merged. Also when the block raises.

    Inside of a transaction that outlives the block, the batch waits for the commit.
    """
    if _batch.get() is not None:
        yield
        return
    batch = Batch()
    token = _batch.set(batch)
    try:
        yield
    finally:
        _batch.reset(token)
        batch.close()


@contextlib.contextmanager
def captured_events() -> Iterator[Captured]:
    """For tests: gathers what would be published, from all threads, and publishes nothing.

    In Django's `TestCase`, which never commits, events are there as soon as the rows are saved; those that are rolled
    back vanish.
    """
    captured = Captured()
    _captures.append(captured)
    try:
        yield captured
    finally:
        _captures.remove(captured)


def is_disabled() -> bool:
    """Whether nothing is to be published here."""
    return _disabled.get()


def batch() -> Batch | None:
    """The `coalesce` block that this is inside of."""
    return _batch.get()


def capture(documents: Documents, fate: Fate | None = None) -> bool:
    """Hands them to the innermost `captured_events` block; false when there is none."""
    if not _captures:
        return False
    for document in documents:
        _captures[-1].add(document, fate)
    return True


def pass_on(documents: Documents, deliver: Deliver) -> None:
    """Delivers them now, later, or not at all, as the blocks around say."""
    if is_disabled() or capture(documents):
        return
    gathering = batch()
    if gathering is None:
        deliver(documents)
    else:
        gathering.add(documents, deliver)
