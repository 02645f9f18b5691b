"""Reads what readers need of the configuration of the workers: caches, and how keys are spelt on their targets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .nearest import did_you_mean
from .spelling import Template, prefixes

#: Files, one or several as workers read them, or what such a file holds.
Source = str | os.PathLike[str] | Mapping[str, Any] | Iterable[str | os.PathLike[str]]

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}")

TTL_MS = 600_000
LEASE_MS = 10_000
WAIT_MS = 200


@dataclass(frozen=True)
class Declared:
    """A cache, as readers see it. All times are in milliseconds."""

    name: str
    key: Template
    tags: tuple[Template, ...]
    #: The arguments, in the declared order.
    args: tuple[str, ...]
    #: What stands before every key and tag.
    prefix: str
    ttl: int = TTL_MS
    #: Until an entry is refreshed in the background; 0 is never.
    soft_ttl: int = 0
    #: Of nothing; that of values where it is 0.
    negative_ttl: int = 0
    #: How long a load may take.
    lease: int = LEASE_MS
    #: How long to wait for somebody else's load.
    wait: int = WAIT_MS
    #: Whether values that others wrote without a frame are served.
    accept_foreign: bool = False

    def key_of(self, args: Mapping[str, Any]) -> str:
        """The physical key of these arguments."""
        return self.prefix + self.key.render(args)

    def tags_of(self, args: Mapping[str, Any]) -> tuple[str, ...]:
        """The physical keys of the tags."""
        return tuple(self.prefix + tag.render(args) for tag in self.tags)


class Declarations:
    """The caches of a configuration; each is read when it is first asked for."""

    def __init__(self, source: Source, key_format: object = None) -> None:
        """Reads a configuration.

        Args:
            source: files, or what is in one.
            key_format: takes the place of what the configuration says, where that names several for a while.

        Raises:
            ConfigurationError: a file that cannot be read.
        """
        self._key_format = key_format
        given = _read(source)
        self._caches: Mapping[str, Any] = given.get("caches") or {}
        self._targets: Mapping[str, Any] = given.get("targets") or {}

    @property
    def names(self) -> list[str]:
        """The names of the caches."""
        return list(self._caches)

    def cache(self, name: str) -> Declared:
        """One of them.

        Raises:
            ConfigurationError: there is none of that name, or none that this package reads.
        """
        if name not in self._caches:
            raise ConfigurationError(f"no cache is called {name!r}{did_you_mean(name, self._caches)}")
        try:
            return self._declared(name, self._caches[name] or {})
        except ConfigurationError as error:
            raise ConfigurationError(f"cache {name}: {error}") from None

    def _declared(self, name: str, given: Mapping[str, Any]) -> Declared:
        if not isinstance(given.get("key"), str):
            raise ConfigurationError(
                "it has no key template; a library's cache is read by the library, over LeaseCache"
            )
        if given.get("layout", "framed") != "framed":
            raise ConfigurationError("this package reads layout: framed alone")
        key = Template(given["key"])
        tags = tuple(Template(tag) for tag in given.get("tags") or ())
        known = tuple(dict.fromkeys([*key.names, *(arg for tag in tags for arg in tag.names)]))
        args = tuple(given.get("args") or known)
        for arg in known:
            if arg not in args:
                raise ConfigurationError(f"unknown argument {arg!r} in a template{did_you_mean(arg, args)}")
        times = {
            key: _span(key, given[key]) for key in ("ttl", "soft_ttl", "negative_ttl", "lease", "wait") if key in given
        }
        if times.get("ttl") == 0 or times.get("lease") == 0:
            raise ConfigurationError("ttl and lease are longer than nothing")
        accept = given.get("foreign") == "accept"
        return Declared(name, key, tags, args, self._prefix(given), accept_foreign=accept, **times)

    def _prefix(self, given: Mapping[str, Any]) -> str:
        found = prefixes(self._key_format) if self._key_format is not None else self._prefixes(given)
        if len(found) != 1:
            shown = ", ".join(repr(prefix) for prefix in found)
            raise ConfigurationError(
                f"its keys begin with one of {shown}, and a reader writes one: say which, Caches(..., key_format=...)"
            )
        return found[0]

    def _prefixes(self, given: Mapping[str, Any]) -> list[str]:
        if given.get("key_format") is not None:
            return prefixes(given["key_format"])
        names = given.get("targets") or list(self._targets)
        names = [names] if isinstance(names, str) else names
        formats = [_interpolated((self._targets.get(name) or {}).get("key_format")) for name in names]
        return list(dict.fromkeys(prefix for one in formats or [None] for prefix in prefixes(one)))


def _read(source: Source) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    merged: dict[str, dict[str, Any]] = {"caches": {}, "targets": {}}
    for path in (found for given in paths for found in _files(Path(given))):
        document = _yaml(path)
        for section, known in merged.items():
            for name, declared in (document.get(section) or {}).items():
                if name in known:
                    raise ConfigurationError(f"{path}: {section}.{name} is declared twice")
                known[name] = declared
    return merged


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and not file.name.startswith("."))


def _yaml(path: Path) -> Mapping[str, Any]:
    from .yaml12 import load

    try:
        document = load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"{path} is no configuration of Quash")
    return document


def _interpolated(value: Any) -> Any:
    """The value of a target with its variables; caches have none."""
    if isinstance(value, Mapping):
        return {key: _interpolated(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_interpolated(inner) for inner in value]
    return _VARIABLE.sub(_variable, value) if isinstance(value, str) else value


def _variable(match: re.Match[str]) -> str:
    name, kind, text = match.groups()
    if name is None:
        return "$"
    value = os.environ.get(name)
    if kind is None and value is not None:
        return value
    if kind is not None and value:
        return value
    if kind == "-":
        return text
    raise ConfigurationError(f"the variable {name} is not set" + (f": {text}" if text else ""))


def _span(name: str, value: object) -> int:
    """A length of time in milliseconds: `200ms`, `1.5s`, `1h30m`."""
    if not isinstance(value, str) or not _SPAN.fullmatch(value):
        raise ConfigurationError(
            f"{name}: {value!r} is no length of time; write a number with a unit, as 200ms, 30s or 5m"
        )
    return round(sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(value)))
