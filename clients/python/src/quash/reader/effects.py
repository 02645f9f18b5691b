"""Names what the protocol asks for, and what it is about."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

from .commands import Command
from .loaded import Load


class Run(NamedTuple):
    """Sends commands; its outcome are the replies."""

    commands: list[Command]
    #: Never again after an unknown outcome.
    once: bool = False


class Sleep(NamedTuple):
    """Waits."""

    seconds: float


class Call(NamedTuple):
    """Calls the loader; its outcome is what it returned for each."""

    loads: list[Load]
    entries: list[Entry]


class Behind(NamedTuple):
    """Goes on with this beside the caller, who does not wait."""

    steps: Generator[Any, Any, Any]
    entry: Entry
    #: Whether it may be left out while another one of this entry runs.
    may_skip: bool = False


Effect = Run | Sleep | Call | Behind
T = TypeVar("T")
Steps = Generator[Effect, Any, T]


class Entry(NamedTuple):
    """Which entry: its physical key, and those of its tags."""

    key: str
    tags: tuple[str, ...] = ()


class Wishes(NamedTuple):
    """What a caller asks of one call."""

    #: Whether an old value may be served while a new one is loaded.
    stale_ok: bool = True
    #: Loads whatever stands there.
    force: bool = False
    #: How long to wait for somebody else's load, in milliseconds; `None` as the cache says.
    wait: int | None = None


#: Who asks for nothing in particular.
ANYHOW = Wishes()
