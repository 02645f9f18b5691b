"""Notices when an instance reads columns again: `refresh_from_db`, and deferred columns at their first use."""

from __future__ import annotations

import functools
from typing import Any

from . import memory

_originals: dict[Any, Any] = {}


def watch(model: Any, names: tuple[str, ...]) -> None:
    """Wraps `refresh_from_db` of a model. Django has no signal for it."""
    original = model.refresh_from_db

    @functools.wraps(original)
    def refresh_from_db(self: Any, using: Any = None, fields: Any = None, *args: Any, **kwargs: Any) -> Any:
        # Materialised, since Django may consume it.
        fields = None if fields is None else list(fields)
        result = original(self, using, fields, *args, **kwargs)
        _read(self, names, fields)
        return result

    _originals[model] = model.__dict__.get("refresh_from_db")
    model.refresh_from_db = refresh_from_db


def forget() -> None:
    """Unwraps all of them."""
    for model, original in _originals.items():
        if original is None:
            del model.refresh_from_db
        else:
            model.refresh_from_db = original
    _originals.clear()


def _read(instance: Any, names: tuple[str, ...], fields: list[str] | None) -> None:
    remembered = memory.of(instance)
    if remembered is None:
        return
    asked = names if fields is None else _asked(instance, names, fields)
    remembered.loaded(memory.at_hand(instance, asked))


def _asked(instance: Any, names: tuple[str, ...], fields: list[str]) -> list[str]:
    wanted = set(fields)
    columns = [field.attname for field in instance._meta.concrete_fields if {field.name, field.attname} & wanted]
    return [name for name in columns if name in names]
