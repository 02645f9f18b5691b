"""Notices when an instance reads columns again: `refresh_from_db`, and deferred columns at their first use."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from . import memory
from .guard import harmless

_originals: dict[Any, Any] = {}


def watch(model: Any, names: tuple[str, ...]) -> None:
    """Wraps `refresh_from_db` of a model. Django has no signal for it."""
    original = model.refresh_from_db

    @functools.wraps(original)
    def refresh_from_db(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Passed on as it came: a model's own may take less than Django's.
        fields = args[1] if len(args) > 1 else kwargs.get("fields")
        if isinstance(fields, Iterator):
            # Django consumes it.
            fields = list(fields)
            if len(args) > 1:
                args = (args[0], fields, *args[2:])
            else:
                kwargs["fields"] = fields
        result = original(self, *args, **kwargs)
        _read(names, fields, instance=self)
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


@harmless
def _read(names: tuple[str, ...], fields: Iterable[str] | None, *, instance: Any) -> None:
    remembered = memory.of(instance)
    if remembered is None:
        return
    asked = names if fields is None else _asked(instance, names, fields)
    remembered.loaded(memory.at_hand(instance, asked, is_read=True))


def _asked(instance: Any, names: tuple[str, ...], fields: Iterable[str]) -> list[str]:
    wanted = set(fields)
    columns = [field.attname for field in instance._meta.concrete_fields if {field.name, field.attname} & wanted]
    return [name for name in columns if name in names]
