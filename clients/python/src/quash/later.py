"""Publishes what nobody waits for, in its order, and tells of what the broker did not take."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from .errors import EventError
from .message import Message, pack
from .transports import Lost, Refused

logger = logging.getLogger("quash")

#: Messages that are sent together.
_MESSAGES = 500
#: Seconds until a broker that cannot be reached is tried again, and those that one attempt may take at least.
_PAUSE, _ATTEMPT = 0.25, 1.0

#: Why events are not published.
Cause = Lost | Refused | EventError


@dataclasses.dataclass(frozen=True, eq=False)
class Handed:
    """Events that were handed over together."""

    #: Native JSON. Nobody changes it any more.
    documents: Sequence[Mapping[str, Any]]
    #: When they are given up, by the monotonic clock.
    ends: float
    #: Is told that they are confirmed, or why they are not. May block then.
    end: Callable[[Cause | None], None]


#: With the messages that they became.
Packed = tuple[Handed, list[Message]]


class Later:
    """What waits for one connection. Everything runs on the event loop of the connection."""

    def __init__(self, deliver: Callable[[Sequence[Message]], Awaitable[None]], bytes_max: int) -> None:
        self._deliver = deliver
        self._bytes_max = bytes_max
        self._waiting: collections.deque[Handed] = collections.deque()
        #: Those that were taken out, and have not ended.
        self._in_hand: dict[Handed, None] = {}
        self._working: asyncio.Task[None] | None = None
        #: Those who are being told of what was not published.
        self._telling: set[asyncio.Future[None]] = set()

    def put(self, handed: Handed) -> None:
        """Takes them over."""
        self._waiting.append(handed)
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())

    async def close(self, seconds: float) -> None:
        """Works on for so many seconds at most, and gives up the rest."""
        if self._working is not None:
            await asyncio.wait([self._working], timeout=seconds)
            self._working.cancel()
        self._in_hand |= dict.fromkeys(self._waiting)
        self._waiting.clear()
        await self._ended(list(self._in_hand), Lost("no confirmation before the publisher was closed"))
        if self._telling:
            await asyncio.wait(self._telling)

    async def _work(self) -> None:
        while self._waiting:
            await self._see_through(await self._taken())

    async def _taken(self) -> list[Packed]:
        """The next that are sent together."""
        together: list[Packed] = []
        messages = 0
        while self._waiting and messages < _MESSAGES:
            one = self._waiting.popleft()
            self._in_hand[one] = None
            try:
                packed = pack(one.documents, self._bytes_max)
            except EventError as error:
                await self._ended([one], error)
                continue
            except Exception as error:  # noqa: BLE001 - of what is no JSON, in whatever way
                await self._ended([one], EventError(f"cannot be spelt as JSON: {error}"))
                continue
            together.append((one, packed))
            messages += len(packed)
        return together

    async def _see_through(self, together: list[Packed]) -> None:
        """Until each is confirmed, or refused for good, or its time is over."""
        while together:
            cause = await self._attempt(together)
            if isinstance(cause, Refused) and len(together) > 1:
                # One of them may be the reason, and must not speak for the others.
                for one in together:
                    await self._see_through([one])
                return
            is_final = cause is None or (isinstance(cause, Refused) and not cause.temporary)
            now = time.monotonic()
            await self._ended([one for one, _ in together if is_final or one.ends <= now], cause)
            together = [(one, messages) for one, messages in together if one in self._in_hand]
            if together:
                await asyncio.sleep(_PAUSE)

    async def _attempt(self, together: list[Packed]) -> Lost | Refused | None:
        seconds = min(one.ends for one, _ in together) - time.monotonic()
        try:
            messages = [message for _, packed in together for message in packed]
            await asyncio.wait_for(self._deliver(messages), max(seconds, _ATTEMPT))
        except asyncio.TimeoutError:
            return Lost("no confirmation in time")
        except (Lost, Refused) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a driver's own: nobody else would ever hear of these events
            return Lost(str(error) or type(error).__name__)
        return None

    async def _ended(self, handed: Sequence[Handed], cause: Cause | None) -> None:
        for one in handed:
            if one not in self._in_hand:
                # While it was closed.
                continue
            del self._in_hand[one]
            if cause is None:
                one.end(None)
            else:
                await self._elsewhere(one.end, cause)

    async def _elsewhere(self, end: Callable[[Cause | None], None], cause: Cause) -> None:
        """Tells it on another thread, since it may block."""
        try:
            telling = asyncio.get_running_loop().run_in_executor(None, _told, end, cause)
        except RuntimeError:
            # The interpreter ends and starts no thread any more. Nobody else needs this one then.
            _told(end, cause)
            return
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        # Whoever closes ends what works here, and would take back what no thread has begun yet.
        await asyncio.shield(telling)


def _told(end: Callable[[Cause | None], None], cause: Cause) -> None:
    try:
        end(cause)
    except Exception:
        # Of whoever is told. The others must be told as well.
        logger.exception("cannot tell that events were not published")
