"""Runs the connections of a process: one thread with an event loop, so that no caller waits longer than it wants to."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from . import threads

T = TypeVar("T")

#: Seconds that work for which nobody waits may be put off.
LINGER = 0.005


class Engine:
    """A thread with an event loop.

    Drivers have time-outs for a read or a connect, but none for a name that does not resolve or an answer that trickles
    in. Waiting for another thread can always be given up.
    """

    def __init__(self) -> None:
        #: What each publisher keeps in this process. Only its own thread may touch it, so nothing is locked.
        self.kept: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
        #: What it is to call, in the order in which it was asked to, and whether it will look there soon.
        self._calls: collections.deque[Callable[[], None]] = collections.deque()
        self._will_call = False
        self._events = 0
        self._counting = threads.lock()
        self._is_alive = True
        self._loop: asyncio.AbstractEventLoop
        begun = threads.lock()
        begun.acquire()
        threads.start(functools.partial(self._run, begun), "quash-client")
        begun.acquire()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begins the work; the result is awaited elsewhere."""
        if not threads.is_eventlet():
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        future = threads.future()

        async def run() -> None:
            task = asyncio.ensure_future(work)
            # Whoever gives up cancels what it waited for.
            future.add_done_callback(lambda _: self._loop.call_soon_threadsafe(task.cancel))
            try:
                result = await task
            except BaseException as error:  # noqa: BLE001 - whoever waits for it hears of it
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
            else:
                if future.set_running_or_notify_cancel():
                    future.set_result(result)

        asyncio.run_coroutine_threadsafe(run(), self._loop)
        return future

    def call(self, work: Callable[[], None]) -> None:
        """Has its thread call this within `LINGER`, in the order in which it was asked to.

        So it works when the caller has gone on, for several at once, and only the first has to wake it.
        """
        self._calls.append(work)
        if not self._will_call:
            self._will_call = True
            self._loop.call_soon_threadsafe(self._loop.call_later, LINGER, self.call_all)

    def call_all(self) -> None:
        """Calls now what it was asked to; on its own thread."""
        # Whoever asks from here on finds it unset, and is called by this or by the next.
        self._will_call = False
        while self._calls:
            self._calls.popleft()()

    def admit(self, events: int, most: int) -> bool:
        """Counts events that somebody hands over; false when so many are there already, however few these are."""
        with self._counting:
            # Not with these: a transaction of more than that would never get in.
            if self._events >= most:
                return False
            self._events += events
            return True

    @property
    def events(self) -> int:
        """How many were admitted and not released."""
        return self._events

    def release(self, events: int) -> None:
        """Forgets events that were admitted."""
        with self._counting:
            self._events -= events

    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._is_alive

    def _run(self, begun: Any) -> None:
        try:
            # On its own thread: gevent binds it to the one that makes it.
            self._loop = asyncio.new_event_loop()
            if threads.is_patched():
                self._loop.set_default_executor(threads.Executor())
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(begun.release)
            self._loop.run_forever()
        finally:
            self._is_alive = False
            if begun.locked():
                # Whoever waits for it finds that it is not alive.
                begun.release()


_current: Engine | None = None
_lock = threading.Lock()
#: Engines of parent processes. The child must not use their connections, and must not even clean them up: a driver
#: would say goodbye over the parent's socket.
_inherited: list[Engine | None] = []


def current() -> Engine:
    """The engine of this process, started at its first use."""
    global _current
    engine = _current
    if engine is not None and engine.is_alive():
        return engine
    with _lock:
        if _current is None or not _current.is_alive():
            _current = Engine()
        return _current


def running() -> Engine | None:
    """The engine of this process if it has one."""
    return _current if _current is not None and _current.is_alive() else None


def _after_fork() -> None:
    global _current, _lock
    _inherited.append(_current)
    _current = None
    # Another thread of the parent may have held it.
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
