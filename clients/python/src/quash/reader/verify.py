"""Answers `quash verify`: loads an entry anew, compares it with what stands there, and tells nothing but that."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import QuashError
from . import commands, frame, packing

if TYPE_CHECKING:
    from . import Caches
    from .link import Link

#: How old a question may be, in seconds: who listens on the way cannot ask it again later.
AGE_MAX = 300


class NotAsked(QuashError):
    """The question is not signed with the secret, or is an old one: answer 403."""


def answer(
    caches: Caches, body: bytes, signature: str, *, secret: str, loads: Mapping[str, Callable[..., Any]]
) -> dict[str, Any]:
    """What to answer to a question, as JSON.

    Args:
        caches: where the entries are; with a client that blocks.
        body: of the request.
        signature: the header `Quash-Signature`.
        secret: the one that the configuration names under `truth`.
        loads: what loads an entry of each cache anew, past the cache. Called with the arguments by name, as the text
            that stands in the key.

    Raises:
        NotAsked: somebody else asks.
        Unavailable: Redis failed.
    """
    expected = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
        raise NotAsked("the question is not signed with this secret")
    asked = json.loads(body)
    if abs(time.time() - asked["time"]) > AGE_MAX:
        raise NotAsked("the question is an old one")
    load = loads.get(asked["cache"])
    if load is None:
        return {"error": "nothing loads this cache here"}
    cache = caches.cache(asked["cache"])
    (stands,) = cache.link().run([commands.get(asked["key"])])
    seen = frame.parse(stands if isinstance(stands, bytes) else None)
    if seen is None or hashlib.sha256(seen.payload).hexdigest() != asked["digest"]:
        # Another entry stands there by now: another question.
        return {}
    if seen.encryption != b"-" or seen.codec == b"z":
        return {"error": "it cannot be read here"}
    if seen.form == frame.CHUNKS:
        seen = _whole(cache.link(), asked["key"], seen)
    loaded = load(**asked["args"])
    told: dict[str, Any] = {"same": loaded is None}
    if loaded is not None:
        made = cache.codec.dumps(loaded)
        told["loaded_digest"] = hashlib.sha256(made).hexdigest()
        told["same"] = _is_same(cache.codec, seen, made)
    elif seen.form != frame.ABSENT:
        told["same"] = False
    return told


def _whole(link: Link, key: str, seen: frame.Frame) -> frame.Frame:
    """The entry with its whole payload, if its chunks are all there."""
    keys = packing.chunk_keys(key, seen)
    parts = link.run([commands.get_many(keys)])[0] if keys else []
    return (packing.joined(seen, list(parts)) if parts else None) or seen


def _is_same(codec: Any, seen: frame.Frame, made: bytes) -> bool:
    """Whether both are read as the same value: two payloads of one value need not have the same bytes."""
    payload = None if seen.form == frame.ABSENT else packing.unpacked(seen)
    if payload is None:
        return False
    try:
        return bool(payload == made or codec.loads(payload) == codec.loads(made))
    except Exception:  # noqa: BLE001 - a codec raises what it likes
        return False
