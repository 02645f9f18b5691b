"""Does what the protocol asks for: blocking in the caller's thread, or on the running event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .effects import Behind, Call, Effect, Entry, Run, Steps
from .link import AsyncLink, Link, Unavailable
from .loaded import Load

logger = logging.getLogger("quash")

T = TypeVar("T")
#: Loads several entries; the results stand in the order of the loads.
Loader = Callable[[list[Load], list[Entry]], list[Any]]
AsyncLoader = Callable[[list[Load], list[Entry]], Awaitable[list[Any]]]

#: Loads beside the callers at once. Each may hold a connection to the database.
THREADS = 4
#: Loads that wait for one of these threads; past that the caller waits as well.
WAITING_MAX = 256


class Driver:
    """For functions that block."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._behind = _Threads()

    def run(self, steps: Steps[T], load: Loader) -> T:
        """Goes through the steps; whatever fails is thrown into them."""
        try:
            effect = next(steps)
            while True:
                try:
                    outcome = self._do(effect, load)
                except BaseException as error:  # noqa: BLE001 - the steps decide what becomes of it
                    effect = steps.throw(error)
                else:
                    effect = steps.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result

    def _do(self, effect: Effect, load: Loader) -> Any:
        if isinstance(effect, Run):
            return self.link.run(effect.commands, once=effect.once)
        if isinstance(effect, Call):
            return load(effect.loads, effect.entries)
        if isinstance(effect, Behind):
            return self._go_on(effect, load)
        return time.sleep(effect.seconds)

    def _go_on(self, behind: Behind, load: Loader) -> None:
        key = behind.entry.key
        if not self._behind.enter(key, skip=behind.may_skip):
            behind.steps.close()
            return
        context = contextvars.copy_context()
        self._behind.submit(lambda: context.run(self._quietly, behind, load))

    def _quietly(self, behind: Behind, load: Loader) -> None:
        try:
            self.run(behind.steps, load)
        except Unavailable:
            pass
        except Exception:
            logger.exception("a load of %r beside its callers failed", behind.entry.key)
        finally:
            self._behind.leave(behind.entry.key)
            _close_connections()


class _Threads:
    """A few threads of this process, and what runs on them; a child that was forked has its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: list[str] = []
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    def enter(self, key: str, *, skip: bool) -> bool:
        """Notes that it runs; not where it does already and may be left out."""
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._keys, self._pool = os.getpid(), [], None
            if skip and key in self._keys:
                return False
            self._keys.append(key)
            return True

    def leave(self, key: str) -> None:
        with self._lock:
            if key in self._keys:
                self._keys.remove(key)

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            is_full = len(self._keys) > WAITING_MAX
            if self._pool is None and not is_full:
                self._pool = ThreadPoolExecutor(THREADS, "quash-reader")
            pool = None if is_full else self._pool
        if pool is None:
            _apart(work)
            return
        try:
            pool.submit(work)
        except RuntimeError:
            # The process ends.
            _apart(work)


def _apart(work: Callable[[], None]) -> None:
    """In a thread of its own that the caller waits for: its transactions must not be the caller's."""
    thread = threading.Thread(target=work, name="quash-reader")
    thread.start()
    thread.join()


def _close_connections() -> None:
    """Of Django in this thread, which nobody else would."""
    if "django.db" in sys.modules and threading.current_thread().name.startswith("quash-reader"):
        from django.db import connections

        connections.close_all()


class AsyncDriver:
    """For coroutines."""

    def __init__(self, link: AsyncLink) -> None:
        self._link = link
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def run(self, steps: Steps[T], load: AsyncLoader) -> T:
        """Goes through the steps; whatever fails is thrown into them, a cancellation as well."""
        try:
            effect = next(steps)
            while True:
                try:
                    outcome = await self._do(effect, load)
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - the steps decide what becomes of it
                    effect = steps.throw(error)
                else:
                    effect = steps.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _do(self, effect: Effect, load: AsyncLoader) -> Any:
        if isinstance(effect, Run):
            return await self._link.run(effect.commands, once=effect.once)
        if isinstance(effect, Call):
            return await load(effect.loads, effect.entries)
        if isinstance(effect, Behind):
            return self._go_on(effect, load)
        return await asyncio.sleep(effect.seconds)

    def _go_on(self, behind: Behind, load: AsyncLoader) -> None:
        if behind.may_skip and behind.entry.key in self._tasks.values():
            behind.steps.close()
            return
        task = asyncio.get_running_loop().create_task(self._quietly(behind, load))
        # The loop itself keeps no task alive.
        self._tasks[task] = behind.entry.key
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _quietly(self, behind: Behind, load: AsyncLoader) -> None:
        try:
            await self.run(behind.steps, load)
        except Unavailable:
            pass
        except Exception:
            logger.exception("a load of %r beside its callers failed", behind.entry.key)
