"""Waits until what was published is invalidated: workers leave their answers on the targets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import ConfigurationError, NotInvalidated
from .message import Message

#: What asking adds to a message.
BYTES = len('"answer":"",') + 32


@dataclasses.dataclass(frozen=True, eq=False)
class Wait:
    """Where to wait until an event is invalidated, and how long.

    `targets` has a client of redis-py for each target of the workers' configuration that counts, by its name; for calls
    that do not block, one of `redis.asyncio`. In a cluster, one of a cluster.
    """

    targets: Mapping[str, Any]
    timeout: float = 2.0

    def __post_init__(self) -> None:
        if not self.targets:
            raise ConfigurationError("waiting takes a target: Wait({'main': redis.Redis(…)})")
        if not self.timeout > 0:
            raise ConfigurationError(f"a timeout of {self.timeout} seconds leaves no time to wait")

    def heard(self, asked: Sequence[str]) -> None:
        """Returns when all targets have answered for all messages.

        Raises:
            NotInvalidated: that is not known in time, or one of them is a dead letter. It is published all the same.
        """
        ends = time.monotonic() + self.timeout
        for target, client in self.targets.items():
            for answer in asked:
                awaited = Awaited(target)
                while not awaited.is_done:
                    with _asking(target):
                        reply = client.execute_command(*_listen(answer, ends))
                    awaited.hear(reply, self.timeout)

    async def aheard(self, asked: Sequence[str]) -> None:
        """As `heard`, without blocking the event loop."""
        ends = time.monotonic() + self.timeout
        await asyncio.gather(*(self._aheard(target, client, asked, ends) for target, client in self.targets.items()))

    async def _aheard(self, target: str, client: Any, asked: Sequence[str], ends: float) -> None:
        for answer in asked:
            awaited = Awaited(target)
            while not awaited.is_done:
                with _asking(target):
                    reply = await client.execute_command(*_listen(answer, ends))
                awaited.hear(reply, self.timeout)


class Awaited:
    """What one target still has to say of one message."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._whole = True
        self._parts: set[str] = set()
        self._heard: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Whether nothing is to come any more."""
        return not self._whole and self._parts <= self._heard

    def hear(self, reply: Any, timeout: float) -> None:
        """Takes in what a target said, perhaps twice and in any order. What is no answer is passed over.

        Raises:
            NotInvalidated: nothing came in time, or it is a dead letter.
        """
        if isinstance(reply, (list, tuple)):
            reply = reply[1]
        if reply is None:
            raise NotInvalidated(
                f"target {self._target}: no answer within {timeout:g} s; the event is published all the same"
            )
        answer = _read(reply)
        outcome, source = answer.get("outcome"), str(answer.get("source"))
        if outcome == "dead_letter":
            raise NotInvalidated(
                f"target {self._target}: the event is a dead letter ({answer.get('reason')}): {answer.get('error')}",
                reason=str(answer.get("reason")),
            )
        if outcome == "invalidated" and answer.get("part"):
            self._heard.add(source)
        elif outcome == "invalidated":
            self._whole = False
            self._parts.update(answer.get("also", ()))


def asking(message: Message) -> tuple[Message, str]:
    """The message with the question for an answer in front, and under which identifier it is answered."""
    answer = secrets.token_hex(16)
    body = b'{"answer":"%b",%b' % (answer.encode(), message.body[1:])
    # With another content it is another message: a broker must not take it for a repeat of one that nobody waited for.
    return dataclasses.replace(message, body=body, id=answer), answer


@contextlib.contextmanager
def _asking(target: str) -> Iterator[None]:
    """Says of whatever a driver raises which target it was, and that publishing is done."""
    try:
        yield
    except Exception as error:
        raise NotInvalidated(f"target {target}: {error}; the event is published all the same") from error


def _listen(answer: str, ends: float) -> tuple[str, ...]:
    key = f"quash:answer:{answer}"
    left = ends - time.monotonic()
    # A time-out of nothing would wait for good.
    return ("BLPOP", key, f"{left:.3f}") if left >= 0.001 else ("LPOP", key)


def _read(reply: Any) -> dict[str, Any]:
    try:
        answer = json.loads(reply)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
