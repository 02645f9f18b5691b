"""Listens to the models that the setting names: loads, saves, deletes, relations."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db.models import signals

from .. import scope
from ..event import Op
from . import changes, computed, images, loads, memory, references, relations
from .conf import conf
from .delivery import delivery
from .guard import harmless, told
from .memory import Values
from .pending import Fate, pending
from .tracked import Tracked, key_fields

logger = logging.getLogger("quash")

_connected: list[tuple[Any, Any, Any]] = []


def begin() -> None:
    """Connects to the signals of the declared models.

    Raises:
        ImproperlyConfigured: the setting is wrong.
    """
    settings = conf()
    on_paths = _on_paths(settings.models.values())
    for model in apps.get_models(include_auto_created=False):
        concerned = tuple(one for one in settings.models.values() if issubclass(model, one.model))
        if concerned or issubclass(model, on_paths):
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


def _on_paths(models: Iterable[Tracked]) -> tuple[Any, ...]:
    """The models that paths lead to: an object that is loaded must not be believed what it never saved."""
    found = set()
    for one in models:
        for column in one.related:
            model = one.model
            for step in column.path[:-1]:
                model = model._meta.get_field(step).related_model
                found.add(model)
    return tuple(found)


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


@harmless
def _on_init(names: tuple[str, ...], sender: Any, instance: Any, **_: Any) -> None:
    memory.begin(instance, names)


@harmless
def _on_pre_save(sender: Any, instance: Any, using: str, **_: Any) -> None:
    remembered = memory.of(instance)
    if remembered is not None:
        remembered.before = None
        remembered.before = images.held(instance, using)


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
    written = None if update_fields is None else _columns(sender, update_fields)
    waiting = pending(using)
    before, after = _remembered(instance, names, written, created, using, waiting.fate())
    if scope.is_disabled() or (raw and not conf().fixtures):
        return
    op: Op = "create" if created else "update"
    for one in concerned:
        unclear = functools.partial(changes.unclear, one, op, instance, using)
        if after is None:
            waiting.add(told(one.entity, unclear, functools.partial(changes.truncated, one)))
            continue
        build = functools.partial(_save_events, one, instance, created, before, after, written, using, raw)
        waiting.add(told(one.entity, build, unclear))


def _remembered(
    instance: Any, names: tuple[str, ...], written: list[str] | None, is_new: bool, using: str, fate: Fate
) -> tuple[Values | None, Values | None]:
    """The row before and after a save, as far as the instance knows it; remembers what is there now.

    No row after it: of that nothing is known.
    """
    try:
        remembered = memory.of(instance) or memory.begin(instance, ())
        before, remembered.before = remembered.before, None
        after = _after(instance, names, before, written, is_new, using)
        remembered.saved(after, fate)
    except Exception:
        # Of a model that is like no other.
        logger.exception("cannot remember a row of %s", type(instance).__name__)
        memory.forget(instance)
        return None, None
    return before, after


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
        return changes.created(one, instance, after, using, is_raw=is_raw)
    return changes.updated(one, instance, before, after, using, written=written, is_raw=is_raw)


def _after(
    instance: Any, names: tuple[str, ...], before: Values | None, written: list[str] | None, is_new: bool, using: str
) -> Values:
    """What the database holds after a save: what was not written is as before, whatever the instance says."""
    model: Any = type(instance)
    keys = (field.attname for field in key_fields(model))
    saved = memory.at_hand(instance, names if written is None else [*written, *keys])
    if is_new:
        return computed.after_create(model, saved, using)
    after = saved if written is None else memory.rewritten(before or {}, written, saved)
    held = memory.at_hand(instance, computed.sources(model))
    return computed.after_update(model, before, after, written, held)


def _columns(sender: Any, update_fields: Iterable[str]) -> list[str]:
    names = set(update_fields)
    return [field.attname for field in sender._meta.concrete_fields if {field.name, field.attname} & names]


def _on_delete(concerned: Iterable[Tracked], sender: Any, instance: Any, using: str, **_: Any) -> None:
    if scope.is_disabled():
        return
    waiting = pending(using)
    for one in concerned:
        build = functools.partial(_delete_events, one, instance, using)
        waiting.add(told(one.entity, build, functools.partial(changes.unclear, one, "delete", instance, using)))


def _delete_events(one: Tracked, instance: Any, using: str) -> list[dict[str, Any]]:
    return changes.deleted(one, instance, images.held(instance, using), using)


def _on_setting(*, setting: str, **_: Any) -> None:
    """For tests that override the setting."""
    if setting == "QUASH":
        end()
        begin()


setting_changed.connect(_on_setting)

__all__ = ["begin", "end"]
