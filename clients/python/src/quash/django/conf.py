"""Reads the `QUASH` setting, and says of each mistake where it is and what would be right."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, cast

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from ..errors import ConfigurationError
from ..publisher import TIMEOUT, Publisher
from .tracked import Tracked, tracked

OnFailure = Literal["log", "raise", "outbox"]
Via = Literal["broker", "background", "outbox"]


@dataclasses.dataclass(frozen=True)
class Conf:
    """The setting, checked."""

    publisher: Publisher
    #: By concrete model.
    models: Mapping[Any, Tracked]
    on_failure: OnFailure
    via: Via
    #: The database of the outbox; that of the change when it is left out.
    outbox_database: str | None
    #: Databases that hold the same rows as the one that is written to.
    replicas: frozenset[str]
    #: Whether fixtures are published.
    fixtures: bool
    #: Rows of a bulk write that are published one by one; a larger one says that the whole entity changed.
    bulk_rows_max: int
    #: Says whose rows a database shows, for installations with a schema for each tenant.
    tenant: Callable[[str], str | None]


_KNOWN = {
    "url": str,
    "destination": str,
    "models": Mapping,
    "on_failure": str,
    "via": str,
    "timeout": (int, float),
    "source": str,
    "outbox_database": str,
    "replicas": (list, tuple, set, frozenset),
    "fixtures": bool,
    "bulk_rows_max": int,
    "tenant": (str, Callable),
}


@functools.cache
def conf() -> Conf:
    """The setting, read once.

    Raises:
        ImproperlyConfigured: says what is wrong.
    """
    setting = getattr(settings, "QUASH", None)
    if not isinstance(setting, Mapping):
        raise ImproperlyConfigured("QUASH is missing from the settings, expected {'url': …, 'models': {…}}")
    _check(setting)
    _check_failure(setting)
    return Conf(
        publisher=_publisher(setting),
        models=_models(setting.get("models", {})),
        on_failure=_one_of(setting, "on_failure", ("log", "raise", "outbox")),
        via=_one_of(setting, "via", ("broker", "background", "outbox")),
        outbox_database=setting.get("outbox_database"),
        replicas=frozenset(setting.get("replicas", ())),
        fixtures=setting.get("fixtures", True),
        bulk_rows_max=setting.get("bulk_rows_max", 10_000),
        tenant=_tenant(setting.get("tenant", _schema)),
    )


def _check(setting: Mapping[str, Any]) -> None:
    for name, value in setting.items():
        if name not in _KNOWN:
            raise ImproperlyConfigured(f"QUASH has the unknown key {name!r}{_meant(name, _KNOWN)}")
        if not isinstance(value, _KNOWN[name]):  # type: ignore[arg-type]
            raise ImproperlyConfigured(f"QUASH[{name!r}] is a {type(value).__name__}, which it cannot be")
    if "url" not in setting:
        raise ImproperlyConfigured("QUASH names no url, as redis://127.0.0.1:6380/0")


def _check_failure(setting: Mapping[str, Any]) -> None:
    if setting.get("via") == "background" and setting.get("on_failure") == "raise":
        raise ImproperlyConfigured(
            "QUASH['on_failure'] is 'raise' with 'via': 'background', where nobody waits who could be told: "
            "expected log or outbox"
        )


def _publisher(setting: Mapping[str, Any]) -> Publisher:
    try:
        return Publisher(
            setting["url"],
            destination=setting.get("destination"),
            timeout=setting.get("timeout", TIMEOUT),
            source=setting.get("source", _project()),
        )
    except ConfigurationError as error:
        raise ImproperlyConfigured(f"QUASH['url']: {error}") from None


def _tenant(setting: Any) -> Callable[[str], str | None]:
    if not isinstance(setting, str):
        return cast(Callable[[str], "str | None"], setting)
    try:
        found = import_string(setting)
    except ImportError as error:
        raise ImproperlyConfigured(f"QUASH['tenant'] names {setting!r}: {error}") from None
    if not callable(found):
        raise ImproperlyConfigured(f"QUASH['tenant'] names {setting!r}, which cannot be called")
    return cast(Callable[[str], "str | None"], found)


def _schema(using: str) -> str | None:
    """The schema that a connection of django-tenants is set to."""
    return getattr(connections[using], "schema_name", None)


def _project() -> str:
    name = getattr(settings, "ROOT_URLCONF", None) or "app"
    return f"django:{name.split('.')[0]}"


def _models(declared: Mapping[str, Any]) -> dict[Any, Tracked]:
    found: dict[Any, Tracked] = {}
    for label, names in declared.items():
        try:
            model = apps.get_model(label)
        except (LookupError, ValueError):
            known = [model._meta.label for model in apps.get_models()]
            raise ImproperlyConfigured(
                f"QUASH['models'] names {label!r}, no such model{_meant(label, known)}"
            ) from None
        concrete = model._meta.concrete_model
        if concrete in found:
            raise ImproperlyConfigured(
                f"QUASH['models'] names {label!r} and {found[concrete].entity!r}, the same table"
            )
        found[concrete] = tracked(concrete, names)
    return found


def _one_of(setting: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Any:
    value = setting.get(name, known[0])
    if value not in known:
        raise ImproperlyConfigured(f"QUASH[{name!r}] is {value!r}, expected one of {', '.join(known)}")
    return value


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
