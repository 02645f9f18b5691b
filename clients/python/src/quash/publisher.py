"""Publishes events to a broker within a time limit, from any thread, event loop or forked process."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread
import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from . import engine, threads
from .address import Address, parse
from .answers import BYTES as ASKING_BYTES
from .answers import Wait, asking
from .context import Context
from .errors import (
    BrokerUnreachable,
    ConfigurationError,
    EventError,
    PublishError,
    PublishRefused,
    PublishTimeout,
    QuashError,
)
from .event import Publishable
from .later import Cause, Handed, Later
from .message import BYTES_MAX, Message, pack
from .transports import Link, Lost, Refused, Transport, load

logger = logging.getLogger("quash")

#: Seconds that a caller waits at most, all in all.
TIMEOUT = 0.25

#: Seconds that a broker is tried for events that nobody waits for.
LATER_SECONDS = 5.0
#: Events that may wait in one process.
LATER_EVENTS_MAX = 10_000

#: Seconds that making a connection may take. Callers who gave up before find it ready the next time.
_CONNECT_SECONDS = 5.0
#: Seconds to say goodbye.
_CLOSE_SECONDS = 1.0


#: Is told what was handed over and not published.
OnFailure = Callable[[QuashError], None]


class Publisher:
    """Publishes to one stream, queue or subject.

    Make one and keep it: it connects at its first use, and again after the connection broke. It may be used by many
    threads and event loops at once, and after a fork by parent and child alike.
    """

    def __init__(
        self,
        url: str,
        *,
        destination: str | None = None,
        timeout: float = TIMEOUT,
        source: str | None = None,
        message_bytes_max: int = BYTES_MAX,
    ) -> None:
        """Reads the URL; nothing is connected yet.

        Args:
            url: `redis://host:6379/0?stream=…`, `amqp://host/vhost?queue=…` or `nats://host?subject=…`.
            destination: the stream, queue or subject, where it should not stand in the URL.
            timeout: seconds that a call takes at most, all in all.
            source: who publishes, for events that do not say it.
            message_bytes_max: the worker's `limits.max_message_bytes`.

        Raises:
            ConfigurationError: says what is wrong with the URL, or which driver is missing.
        """
        if not timeout > 0:
            raise ConfigurationError(f"a timeout of {timeout} seconds leaves no time to publish")
        self.address: Address = parse(url, destination)
        self.timeout = timeout
        self._context = Context(source)
        self._bytes_max = message_bytes_max
        self._transport = load(self.address.kind)
        _publishers.add(self)

    def publish(self, what: Publishable, *, wait: Wait | None = None) -> None:
        """Returns when the broker has taken responsibility for the event; with `wait`, when it is invalidated.

        Raises:
            EventError: it is no event, nothing was sent.
            PublishError: the broker did not confirm it; publishing it again is harmless.
            NotInvalidated: it is published, and not known to be invalidated.
        """
        self.publish_many([what], wait=wait)

    def publish_many(self, many: Iterable[Publishable], *, wait: Wait | None = None) -> None:
        """Publishes events that belong together, in one round trip. Returns when all are confirmed.

        With `wait`, it returns when all are invalidated.

        Raises:
            EventError: one of them is no event, nothing was sent.
            PublishError: not all were confirmed; publishing all of them again is harmless.
            NotInvalidated: they are published, and not known to be invalidated.
        """
        self.send([self.document(what) for what in many], wait)

    async def apublish(self, what: Publishable, *, wait: Wait | None = None) -> None:
        """As `publish`, without blocking the event loop."""
        await self.apublish_many([what], wait=wait)

    async def apublish_many(self, many: Iterable[Publishable], *, wait: Wait | None = None) -> None:
        """As `publish_many`, without blocking the event loop."""
        await self.asend([self.document(what) for what in many], wait)

    def document(self, what: Publishable) -> dict[str, Any]:
        """The native JSON as this publisher sends it: with its source, this process and the current trace.

        Raises:
            EventError: it is no event.
        """
        return self._context.document(what)

    def in_context(self, document: dict[str, Any]) -> dict[str, Any]:
        """The same native JSON of an event with what `document` fills in."""
        self._context.fill(document)
        return document

    def send(self, documents: Sequence[Mapping[str, Any]], wait: Wait | None = None) -> None:
        """Publishes native JSON as it is; see `publish_many`."""
        ends = time.monotonic() + self.timeout
        messages, asked = self._packed(documents, wait)
        if not messages:
            return
        work = self._begin(messages)
        try:
            threads.wait(work, max(0.0, ends - time.monotonic()))
        except concurrent.futures.TimeoutError:
            work.cancel()
            raise self._timed_out(len(documents)) from None
        except (Lost, Refused) as error:
            raise self._failed(len(documents), error) from error
        if wait is not None:
            wait.heard(asked)

    async def asend(self, documents: Sequence[Mapping[str, Any]], wait: Wait | None = None) -> None:
        """As `send`, without blocking the event loop."""
        ends = time.monotonic() + self.timeout
        messages, asked = self._packed(documents, wait)
        if not messages:
            return
        work = self._begin(messages)
        try:
            # Shielded: when the caller is cancelled, the others on this connection must not suffer.
            waiting = asyncio.shield(asyncio.wrap_future(work))
            await asyncio.wait_for(waiting, max(0.0, ends - time.monotonic()))
        except (asyncio.TimeoutError, concurrent.futures.TimeoutError):
            work.cancel()
            raise self._timed_out(len(documents)) from None
        except (Lost, Refused) as error:
            raise self._failed(len(documents), error) from error
        if wait is not None:
            await wait.aheard(asked)

    def publish_later(self, *events: Publishable, on_failure: OnFailure | None = None) -> None:
        """Hands events over to a thread of this process that publishes them, and returns at once.

        They leave in the order in which they are handed over, many in one round trip. A broker that cannot be reached
        is tried for `LATER_SECONDS`. What was not confirmed by then, or when the process ends, is told to `on_failure`
        on another thread, and logged where nobody asks. A process that is killed tells nobody.

        Raises:
            EventError: one of them is no event, nothing is sent.
            PublishError: `LATER_EVENTS_MAX` events wait in this process, nothing of these is sent.
        """
        self.hand_over([self.document(what) for what in events], on_failure or _logged)

    def hand_over(self, documents: Sequence[Mapping[str, Any]], on_failure: OnFailure) -> None:
        """Hands over native JSON as it is; see `publish_later`. The documents must not change any more."""
        events = len(documents)
        if not events:
            return
        running = engine.current()
        if not running.admit(events, LATER_EVENTS_MAX):
            raise PublishRefused(f"{self._what(events)}: {LATER_EVENTS_MAX} events wait already")

        def end(cause: Cause | None) -> None:
            try:
                if cause is not None:
                    on_failure(cause if isinstance(cause, EventError) else self._failed(events, cause))
            finally:
                running.release(events)

        handed = Handed(documents, time.monotonic() + LATER_SECONDS, end)
        running.call(lambda: self._line(running).later.put(handed))

    def close(self) -> None:
        """Closes the connection of this process, if there is one. The next use makes another.

        What `publish_later` took has its time until then: `LATER_SECONDS` at most.
        """
        running = engine.running()
        if running is None:
            return
        try:
            threads.wait(running.submit(self._close(running)), LATER_SECONDS + 2 * _CLOSE_SECONDS)
        except concurrent.futures.TimeoutError:
            if running.events:
                logger.error("%d events may never be published: their thread does not answer", running.events)
        except Exception:  # noqa: BLE001 - what a driver raises at its end concerns nobody
            return

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Publisher to {self.address}>"

    def _packed(self, documents: Sequence[Mapping[str, Any]], wait: Wait | None) -> tuple[list[Message], list[str]]:
        """The messages, and under which identifiers they are answered."""
        if wait is None:
            return pack(documents, self._bytes_max), []
        if any("answer" in document for document in documents):
            raise EventError("an event has an `answer` of its own: leave it out where you wait")
        asked = [asking(message) for message in pack(documents, self._bytes_max - ASKING_BYTES)]
        return [message for message, _ in asked], [answer for _, answer in asked]

    def _begin(self, messages: Sequence[Message]) -> concurrent.futures.Future[None]:
        running = engine.current()
        return running.submit(self._deliver(running, messages))

    # What follows runs on the thread of the engine.

    async def _deliver(self, running: engine.Engine, messages: Sequence[Message]) -> None:
        await self._line(running).deliver(messages)

    def _line(self, running: engine.Engine) -> _Line:
        line = running.kept.get(self)
        if not isinstance(line, _Line):
            line = running.kept[self] = _Line(self.address, self._transport, self._bytes_max)
        return line

    async def _close(self, running: engine.Engine) -> None:
        running.call_all()
        line = running.kept.pop(self, None)
        if line is not None:
            await line.later.close(LATER_SECONDS)
            await line.close()

    def _timed_out(self, events: int) -> PublishTimeout:
        return PublishTimeout(f"{self._what(events)}: no confirmation within {self.timeout * 1000:.0f} ms")

    def _failed(self, events: int, cause: Lost | Refused) -> PublishError:
        words = str(cause)
        if self.address.password:
            words = words.replace(self.address.password, "***")
        if isinstance(cause, Lost):
            return BrokerUnreachable(f"{self._what(events)}: {words}")
        refused = PublishRefused(f"{self._what(events)}: {words}")
        refused.temporary = cause.temporary
        return refused

    def _what(self, events: int) -> str:
        return f"publish {events} event{'' if events == 1 else 's'} to {self.address}"


def _logged(error: QuashError) -> None:
    logger.error("events are lost, what was cached from them stays stale: %s", error)


class _Line:
    """A publisher's connection in one process: made when needed, dropped when it broke or did not answer."""

    def __init__(self, address: Address, transport: Transport, bytes_max: int) -> None:
        self._address = address
        self._transport = transport
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        #: The event loop knows its tasks only weakly.
        self._closing: set[asyncio.Task[None]] = set()
        self.later = Later(self.deliver, bytes_max)

    async def deliver(self, messages: Sequence[Message]) -> None:
        link, is_fresh = await self._connected()
        try:
            await self._send(link, messages)
        except Lost:
            if is_fresh:
                raise
            # The broker may have closed an idle connection, which shows only when it is used.
            link, _ = await self._connected()
            await self._send(link, messages)

    async def close(self) -> None:
        if self._link is not None:
            self._drop(self._link)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _send(self, link: Link, messages: Sequence[Message]) -> None:
        try:
            await link.send(messages)
        except (Lost, asyncio.CancelledError):
            # Cancelled is: no answer in time. Whatever is wrong with it, the next caller gets another.
            self._drop(link)
            raise

    async def _connected(self) -> tuple[Link, bool]:
        if self._link is not None and self._link.is_open():
            return self._link, False
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
        # Shielded: whoever gives up leaves it to the others, and to the next call.
        return await asyncio.shield(self._connecting), True

    async def _connect(self) -> Link:
        try:
            connect = self._transport.connect(self._address, _CONNECT_SECONDS)
            link: Link = await asyncio.wait_for(connect, _CONNECT_SECONDS)
            self._link = link
            return link
        except asyncio.TimeoutError:
            raise Lost("no connection in time") from None
        finally:
            self._connecting = None

    def _drop(self, link: Link) -> None:
        if self._link is link:
            self._link = None
        task = asyncio.ensure_future(_closed(link))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _closed(link: Link) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(link.close(), _CLOSE_SECONDS)


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def close_all() -> None:
    """Closes every publisher of this process, as `Publisher.close` does: sends what was put off, and says goodbye.

    A process that ends calls this by itself. One that leaves by `os._exit` does not, and has to be told.
    """
    for publisher in list(_publishers):
        publisher.close()


# Threads that the application did not end may publish until the very end.
atexit.register(close_all)
# But then no thread can be started any more, and to resolve a name takes one: `concurrent.futures` ends its own before,
# those of modules that were imported later first. It is also all that a child of `multiprocessing` calls.
getattr(threading, "_register_atexit", atexit.register)(close_all)
