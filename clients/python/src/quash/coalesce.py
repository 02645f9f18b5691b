"""Merges repeats among events without losing a row image: what was cached from it must go, however short it lived."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]


def coalesced(documents: Iterable[Document]) -> list[Document]:
    """The events with repeats merged, each at the place of its first.

    Two updates of a row become one when one of them changes no published column: its images are then in the other's.
    Everything else is merged only with its equal. A move from 3 to 4 and on to 5 stays two events, since pages of 4
    may have been cached in between.
    """
    merged: list[Document] = []
    places: dict[str, int] = {}
    for document in documents:
        same = _identity(document)
        place = places.get(same)
        joined = None if place is None else _joined(merged[place], document)
        if place is None or joined is None:
            places[same] = len(merged)
            merged.append(document)
        else:
            merged[place] = joined
    return merged


def _identity(document: Document) -> str:
    if document.get("op") == "update" and document.get("key"):
        same = (document.get("source"), document.get("headers"))
        return _text(["update", document["entity"], document["key"], *same])
    return _text({name: value for name, value in document.items() if name not in {"id", "time", "traceparent"}})


def _joined(first: Document, second: Document) -> Document | None:
    if first.get("op") != "update":
        return first
    if "before" not in first or "before" not in second or "after" not in first or "after" not in second:
        return None
    if first["after"] != second["before"]:
        return None
    if first["before"] != first["after"] and second["before"] != second["after"]:
        return None
    joined = {**first, "after": second["after"]}
    if "changed" in first and "changed" in second:
        joined["changed"] = list(dict.fromkeys([*first["changed"], *second["changed"]]))
    else:
        joined.pop("changed", None)
    return joined


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
