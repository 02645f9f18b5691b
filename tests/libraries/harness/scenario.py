"""Defines a scenario as data: what is cached, what happens, which calls must then be misses and which hits.

Nothing but Python itself is imported here: scenarios are read by the tests and by the processes that play the application.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """A call of a function of the library's `app.py`."""

    function: str
    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    # Behind the scenario's own key prefix; for rolling deploys.
    prefix: str = ""
    # Django's VERSION.
    version: int = 1

    def behind(self, prefix="", version=1):
        """The same call in an application that puts something else before its keys."""
        return Call(self.function, self.args, self.kwargs, prefix, version)

    def __str__(self):
        given = [repr(arg) for arg in self.args] + [f"{name}={arg!r}" for name, arg in self.kwargs.items()]
        return f"{self.function}({', '.join(given)})"


def call(function, *args, **kwargs):
    return Call(function, args, kwargs)


@dataclass(frozen=True)
class Scenario:
    """One promise. Its name is unique in its library: it is also the key prefix, so that no scenario sees another's keys.

    `cache` is what a configuration has under `caches.NAME`, or a list of that. In its texts, and in those of the events,
    `$prefix` stands for the key prefix, in events `$cache` for the name of the first cache, and in caches `$cache0`,
    `$cache1` and so on for the names of all.
    """

    name: str
    cache: dict | list
    events: list
    # Calls that must be misses afterwards; each must have been a hit before.
    goes: list = field(default_factory=list)
    # Calls that must still be hits.
    stays: list = field(default_factory=list)
    # A part of the error, where every event must become a dead letter instead.
    refused: str = ""
    # The backends to play it on, where those are not all of the library's.
    backends: tuple = ()
    # What `app.begin` gets, for settings of the library that are global.
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        assert self.goes or self.stays, f"{self.name} asks nothing"

    def caches(self):
        return self.cache if isinstance(self.cache, list) else [self.cache]

    def played_on(self, backends):
        return self.backends or backends


def create(entity, after, **more):
    return {"entity": entity, "op": "create", "after": after, **more}


def update(entity, before, after, **more):
    return {"entity": entity, "op": "update", "before": before, "after": after, **more}


def delete(entity, before, **more):
    return {"entity": entity, "op": "delete", "before": before, **more}


def truncate(entity):
    return {"entity": entity, "op": "truncate"}
