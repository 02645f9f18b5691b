"""Starts threads of the operating system and waits for them, also where gevent or eventlet has replaced `threading`."""

from __future__ import annotations

import concurrent.futures
import os
import sys
import threading
from collections.abc import Callable
from typing import Any


def _is_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def is_eventlet() -> bool:
    """Whether it is eventlet, whose locks must not be shared by threads of the operating system."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


def is_patched() -> bool:
    """Whether something stands in the place of threads."""
    return _is_gevent() or is_eventlet()


def _original(name: str) -> Any:
    """What `_thread` has under this name, as it was before."""
    if _is_gevent():
        return sys.modules["gevent.monkey"].get_original("_thread", name)
    return getattr(sys.modules["eventlet.patcher"].original("threading"), f"_{name}")


def start(work: Callable[[], None], name: str) -> None:
    """Runs it on a thread that a process which ends does not wait for."""
    if is_patched():
        # An event loop on a greenlet would be the running loop of all others, which Django and others refuse.
        _original("start_new_thread")(work, ())
    else:
        threading.Thread(target=work, name=name, daemon=True).start()


def lock() -> Any:
    """A lock between such threads. Whoever waits for it keeps its whole thread waiting."""
    return _original("allocate_lock")() if is_patched() else threading.Lock()


def future() -> concurrent.futures.Future[Any]:
    """A result that one such thread sets and another waits for, with `wait`."""
    made: concurrent.futures.Future[Any] = concurrent.futures.Future()
    if is_eventlet():
        # Its own locks are for the greenlets of one thread: released elsewhere, they would wake them there.
        made._condition = sys.modules["eventlet.patcher"].original("threading").Condition()
    return made


def wait(made: concurrent.futures.Future[Any], seconds: float) -> Any:
    """The result of a `future`, as its own `result` gives it, while other greenlets go on."""
    if is_eventlet() and not made.done():
        bell = _Bell()
        made.add_done_callback(lambda _: bell.ring())
        bell.heard(seconds)
        return made.result(0)
    return made.result(seconds)


class _Bell:
    """Wakes a greenlet from another thread, which eventlet only does by a file."""

    def __init__(self) -> None:
        self._lock = lock()
        self._reading, self._writing = os.pipe()
        self._is_open = True

    def ring(self) -> None:
        # Once closed, its number may be of another file.
        with self._lock:
            if self._is_open:
                os.write(self._writing, b".")

    def heard(self, seconds: float) -> None:
        """Waits for it, this long at most."""
        try:
            sys.modules["eventlet.hubs"].trampoline(
                self._reading, read=True, timeout=seconds, timeout_exc=concurrent.futures.TimeoutError
            )
        finally:
            with self._lock:
                self._is_open = False
                os.close(self._reading)
                os.close(self._writing)


class Executor(concurrent.futures.ThreadPoolExecutor):
    """Runs each call on such a thread: a pool of greenlets would run them on the thread of the event loop."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        made = future()

        def work() -> None:
            if not made.set_running_or_notify_cancel():
                return
            try:
                made.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - whoever waits for it hears of it
                made.set_exception(error)

        start(work, "quash-client-call")
        return made
