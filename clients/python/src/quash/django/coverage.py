"""Compares what rules need, as `quash graph -o json` tells it, with what this project publishes."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import apps

from .tracked import Tracked


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a rule waits for in vain."""

    entity: str
    words: str
    #: Whether it leaves entries stale; otherwise it may be meant so.
    is_gap: bool = True

    def __str__(self) -> str:
        return f"{self.entity}: {self.words}"


def findings(graph: Mapping[str, Any], models: Iterable[Tracked]) -> list[Finding]:
    """What the rules of a graph need and these models do not publish, by entity.

    Raises:
        ValueError: it is no graph.
    """
    published = {one.entity: one for one in models}
    found: list[Finding] = []
    for kind, name, columns in _needs(graph):
        entity = name if kind == "entity" else name.rpartition(".")[0]
        if entity not in published:
            found.append(_unpublished(entity, published))
        elif kind == "relation":
            found += _relation_gaps(published[entity], name.rpartition(".")[2])
        found += _column_gaps(published[entity], columns) if entity in published and kind == "entity" else []
    return list(dict.fromkeys(found))


def _needs(graph: Mapping[str, Any]) -> Iterable[tuple[str, str, list[str]]]:
    """The entities and relations, and the columns of them that rules name, where the graph tells."""
    try:
        nodes, edges = graph["nodes"], graph["edges"]
        for place, node in enumerate(nodes):
            if node["kind"] in ("entity", "relation"):
                columns = [name for edge in edges if edge["from"] == place for name in edge.get("columns", ())]
                yield node["kind"], node["name"], columns
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the output of `quash graph -o json`: {error!r}") from None


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


def _relation_gaps(one: Tracked, name: str) -> Iterable[Finding]:
    known = {relation.field.name for relation in one.relations}
    if name not in known:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        yield Finding(f"{one.entity}.{name}", f"no many-to-many relation of {one.entity}, {has}")


def _column_gaps(one: Tracked, columns: Iterable[str]) -> Iterable[Finding]:
    known = {".".join(column.path) for column in one.columns}
    for column in columns:
        if column not in known:
            yield Finding(one.entity, f"rules name its column {column}, which is not published")
