"""Turns values into payloads and back; JSON unless pickle is asked for."""

from __future__ import annotations

import json
import pickle
from typing import Any, Protocol

from ..errors import ConfigurationError, EncodeError

# Made once: `json.dumps` makes an encoder at each call that asks for anything unusual.
_SPELLS = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Codec(Protocol):
    """How values are kept. One of your own has these two methods."""

    def dumps(self, value: Any) -> bytes:
        """The payload of a value."""

    def loads(self, payload: bytes) -> Any:
        """The value of a payload. Raises whatever it likes for one that is none: that is a miss."""


class Json:
    """Keeps what JSON keeps: a tuple comes back as a list, and keys of a dict as text."""

    def dumps(self, value: Any) -> bytes:
        try:
            return _SPELLS(value).encode()
        except (TypeError, ValueError) as error:
            raise EncodeError(f"no JSON: {error}; return something plainer, or ask for codec='pickle'") from None

    def loads(self, payload: bytes) -> Any:
        return json.loads(payload)


class Pickle:
    """Keeps any object. Whoever may write to the cache may then run code in the application."""

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def loads(self, payload: bytes) -> Any:
        return pickle.loads(payload)  # noqa: S301


def named(codec: str | Codec) -> Codec:
    """The codec of this name, or this codec.

    Raises:
        ConfigurationError: there is none of that name.
    """
    if not isinstance(codec, str):
        return codec
    known: dict[str, Codec] = {"json": Json(), "pickle": Pickle()}
    if codec not in known:
        raise ConfigurationError(f"unknown codec {codec!r}; known are json, pickle, or an object with dumps and loads")
    return known[codec]
