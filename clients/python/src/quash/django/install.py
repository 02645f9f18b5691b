"""Listens to the models that the setting names: loads, saves, deletes, relations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db.models import signals

from .. import scope
from . import loads, memory, references, relations
from .changes import created, deleted, updated
from .conf import conf
from .delivery import delivery
from .memory import Values
from .pending import pending
from .tracked import Tracked

_connected: list[tuple[Any, Any, Any]] = []


def begin() -> None:
    """Connects to the signals of the declared models.

    Raises:
        ImproperlyConfigured: the setting is wrong.
    """
    settings = conf()
    for model in apps.get_models(include_auto_created=False):
        concerned = tuple(one for one in settings.models.values() if issubclass(model, one.model))
        if concerned:
            _listen(model, concerned)
    for one in settings.models.values():
        for relation in one.relations:
            _connect(signals.m2m_changed, relation.through, functools.partial(relations.on_change, one, relation))
    for model, handler in references.handlers(settings.models.values()):
        _connect(signals.pre_delete, model, handler)


def end() -> None:
    """Disconnects all of it."""
    for signal, sender, receiver in _connected:
        signal.disconnect(receiver, sender=sender)
    _connected.clear()
    if conf.cache_info().currsize:
        conf().publisher.close()
    conf.cache_clear()
    delivery.cache_clear()
    loads.forget()


def _listen(model: Any, concerned: tuple[Tracked, ...]) -> None:
    names = tuple(field.attname for field in model._meta.concrete_fields)
    _connect(signals.post_init, model, functools.partial(_on_init, names))
    _connect(signals.pre_save, model, _on_pre_save)
    _connect(signals.post_save, model, functools.partial(_on_save, names, concerned))
    # A delete tells the parents of a child themselves.
    own = tuple(one for one in concerned if one.model is model._meta.concrete_model)
    if own:
        _connect(signals.post_delete, model, functools.partial(_on_delete, own))
    loads.watch(model, names)


def _connect(signal: Any, sender: Any, receiver: Callable[..., None]) -> None:
    signal.connect(receiver, sender=sender, weak=False)
    _connected.append((signal, sender, receiver))


def _on_init(names: tuple[str, ...], sender: Any, instance: Any, **_: Any) -> None:
    memory.begin(instance, names)


def _on_pre_save(sender: Any, instance: Any, using: str, **_: Any) -> None:
    remembered = memory.of(instance)
    if remembered is not None:
        remembered.before = _row_before(instance, remembered, using)


def _row_before(instance: Any, remembered: memory.Memory, using: str) -> Values | None:
    """The row that is about to be overwritten, if this instance came from it."""
    state = instance._state
    settings = conf()
    if state.adding or not (state.db == using or state.db in settings.replicas):
        return None
    values = remembered.values()
    pk = instance._meta.pk.attname
    return values if pk in values and values[pk] == getattr(instance, pk) else None


def _on_save(
    names: tuple[str, ...],
    concerned: Iterable[Tracked],
    sender: Any,
    instance: Any,
    created: bool,
    raw: bool,
    using: str,
    update_fields: Iterable[str] | None,
    **_: Any,
) -> None:
    remembered = memory.of(instance) or memory.begin(instance, ())
    before, remembered.before = remembered.before, None
    written = None if update_fields is None else _columns(sender, update_fields)
    after = _after(instance, names, before, written)
    waiting = pending(using)
    remembered.saved(after, waiting.fate())
    if scope.is_disabled() or (raw and not conf().fixtures):
        return
    for one in concerned:
        waiting.add(_save_events(one, instance, created, before, after, written, using, raw))


def _save_events(
    one: Tracked,
    instance: Any,
    is_new: bool,
    before: Values | None,
    after: Values,
    written: list[str] | None,
    using: str,
    is_raw: bool,
) -> list[dict[str, Any]]:
    if is_new:
        return created(one, instance, after, using, is_raw=is_raw)
    return updated(one, instance, before, after, using, written=written, is_raw=is_raw)


def _after(instance: Any, names: tuple[str, ...], before: Values | None, written: list[str] | None) -> Values:
    """What the database holds after a save: what was not written is as before, whatever the instance says."""
    saved = memory.at_hand(instance, names if written is None else [*written, instance._meta.pk.attname])
    if written is None:
        return saved
    return {**(before or {}), **saved}


def _columns(sender: Any, update_fields: Iterable[str]) -> list[str]:
    names = set(update_fields)
    return [field.attname for field in sender._meta.concrete_fields if {field.name, field.attname} & names]


def _on_delete(concerned: Iterable[Tracked], sender: Any, instance: Any, using: str, **_: Any) -> None:
    if scope.is_disabled():
        return
    remembered = memory.of(instance)
    before = None if remembered is None else _row_before(instance, remembered, using)
    waiting = pending(using)
    for one in concerned:
        waiting.add(deleted(one, instance, before, using))


def _on_setting(*, setting: str, **_: Any) -> None:
    """For tests that override the setting."""
    if setting == "QUASH":
        end()
        begin()


setting_changed.connect(_on_setting)

__all__ = ["begin", "end"]
