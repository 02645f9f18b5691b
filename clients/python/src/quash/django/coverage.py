"""Compares what rules need, as `quash graph -o json` tells it, with what this project publishes."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from . import unseen
from .tracked import Column, Tracked, column


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a rule waits for or reads in vain."""

    entity: str
    words: str
    #: Whether entries stay stale or too many go; otherwise it may be meant so.
    is_gap: bool = True

    def __str__(self) -> str:
        return f"{self.entity}: {self.words}"


def findings(graph: Mapping[str, Any], models: Iterable[Tracked]) -> list[Finding]:
    """What the rules of a graph need and these models do not publish, by entity.

    Raises:
        ValueError: it is no graph.
    """
    published = {one.entity: one for one in models}
    found: list[Finding] = [
        Finding(one.entity, words, is_gap=False)
        for one in published.values()
        for words in unseen.unseen(one, published.values())
    ]
    for need in _needs(graph):
        one = published.get(need.entity)
        if one is None:
            found.append(_unpublished(need.entity, published))
        elif need.relation:
            found += _relation_gaps(one, need)
        else:
            found += _column_gaps(one.entity, one.model, one.columns, need.columns)
            found += _change_gaps(one, need.changed)
    found += _inherited(graph, published)
    return list(dict.fromkeys(found))


@dataclasses.dataclass(frozen=True)
class _Need:
    """What the rules read of an entity, or of one of its relations."""

    entity: str
    relation: str
    #: Columns and paths of the row; of a relation behind `from.` or `to.`.
    columns: list[str]
    #: Columns that rules wait for a change of.
    changed: list[str]


def _needs(graph: Mapping[str, Any]) -> Iterable[_Need]:
    try:
        nodes, edges = graph["nodes"], graph["edges"]
        for place, node in enumerate(nodes):
            entity, relation = node["name"], ""
            if node["kind"] == "cache":
                continue
            if node["kind"] == "relation":
                entity, _, relation = entity.rpartition(".")
            mine = [edge for edge in edges if edge["from"] == place]
            columns = [name for edge in mine for name in edge["columns"]]
            yield _Need(entity, relation, columns, [name for edge in mine for name in edge["changed"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the output of `quash graph -o json` of this release: {error!r}") from None


def _inherited(graph: Mapping[str, Any], published: Mapping[str, Tracked]) -> Iterable[Finding]:
    """What rules on a child wait for and a save of its parent alone does not tell."""
    names = [node["name"] for node in graph["nodes"]]
    edges = [(names[edge["from"]], edge.get("to"), edge) for edge in graph["edges"]]
    waiting = {(entity, cache) for entity, cache, _ in edges}
    for entity, cache, edge in edges:
        one = published.get(entity)
        if one is None or cache is None:
            continue
        for parent in unseen.parents(one):
            columns = {name for field in parent._meta.local_concrete_fields for name in (field.name, field.attname)}
            watched = set(edge["changed"])
            if (watched and not watched & columns) or (parent._meta.label, cache) in waiting:
                continue
            yield Finding(
                one.entity,
                f"cache {names[cache]} does not hear of a row that is saved as {parent._meta.label}: "
                f"add a rule `row: {parent._meta.label}` that maps its {parent._meta.pk.attname}",
                is_gap=False,
            )


def _unpublished(entity: str, published: Mapping[str, Tracked]) -> Finding:
    try:
        label = apps.get_model(entity)._meta.label
    except (LookupError, ValueError):
        return _unknown(entity)
    if label in published:
        return Finding(entity, f"published as {label}, and rules compare names exactly")
    if label != entity:
        return Finding(entity, f"not published, and its model is spelt {label}")
    return Finding(entity, "rules name it and QUASH['models'] does not")


def _unknown(entity: str) -> Finding:
    near = difflib.get_close_matches(entity, [model._meta.label for model in apps.get_models()], n=1, cutoff=0.8)
    if near:
        return Finding(entity, f"no model of this project, did the rule mean {near[0]}?")
    if entity.split(".")[0] in apps.app_configs:
        return Finding(entity, "no model of this project, although the app is")
    return Finding(entity, "no model of this project; somebody else must publish it", is_gap=False)


def _relation_gaps(one: Tracked, need: _Need) -> Iterable[Finding]:
    name = f"{one.entity}.{need.relation}"
    relation = next((relation for relation in one.relations if relation.field.name == need.relation), None)
    if relation is None:
        has = ", ".join(sorted(relation.field.name for relation in one.relations))
        yield Finding(name, f"no many-to-many relation of {one.entity}, it has {has or 'none'}")
        return
    for end, model, columns in (("from", one.model, one.columns), ("to", relation.target, relation.to_columns)):
        read = [column.removeprefix(f"{end}.") for column in need.columns if column.startswith(f"{end}.")]
        yield from _column_gaps(name, model, columns, read, f"{end}.")


def _column_gaps(
    where: str, model: Any, published: tuple[Column, ...], read: Iterable[str], end: str = ""
) -> Iterable[Finding]:
    known = {".".join(column.path) for column in published}
    # Of JSON, a rule may read something in the value.
    values = tuple(".".join([*column.path, ""]) for column in published if column.field.remote_field is None)
    for name in read:
        if name not in known and not name.startswith(values):
            why = "which is not published" if _has(model, name.split(".")) else _absent(model, name)
            yield Finding(where, f"rules read {end or 'its '}{name}, {why}")


def _change_gaps(one: Tracked, changed: Iterable[str]) -> Iterable[Finding]:
    """Events name every column that changed, also those that are not published."""
    known = {name for field in one.model._meta.concrete_fields for name in (field.name, field.attname)}
    for name in changed:
        if name not in known:
            yield Finding(one.entity, f"rules wait for a change of its {name}, {_absent(one.model, name)}")


def _has(model: Any, path: list[str]) -> bool:
    """Whether there is such a column, perhaps with something in its value."""
    for length in range(1, len(path) + 1):
        try:
            found = column(model, path[:length], model._meta.label, ".".join(path))
        except ImproperlyConfigured:
            return False
        if found.path == tuple(path[:length]) and found.field.remote_field is None:
            return True
    return found.path == tuple(path)


def _absent(model: Any, name: str) -> str:
    near = difflib.get_close_matches(name, [field.attname for field in model._meta.concrete_fields], n=1)
    return f"which {model._meta.label} does not have" + (f", did they mean {near[0]}?" if near else "")
