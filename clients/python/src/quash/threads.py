"""Starts threads of the operating system, also where gevent has turned `threading` into something else."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections.abc import Callable
from typing import Any


def is_patched() -> bool:
    """Whether gevent stands in the place of threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def start(work: Callable[[], None], name: str) -> None:
    """Runs it on a thread that a process which ends does not wait for."""
    if is_patched():
        # An event loop on a greenlet would be the running loop of all others, which Django and others refuse.
        sys.modules["gevent.monkey"].get_original("_thread", "start_new_thread")(work, ())
    else:
        threading.Thread(target=work, name=name, daemon=True).start()


def lock() -> Any:
    """A lock between such threads. Whoever waits for it keeps its whole thread waiting."""
    if is_patched():
        return sys.modules["gevent.monkey"].get_original("_thread", "allocate_lock")()
    return threading.Lock()


class Executor(concurrent.futures.ThreadPoolExecutor):
    """Runs each call on such a thread: a pool of greenlets would run them on the thread of the event loop."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - whoever waits for it hears of it
                future.set_exception(error)

        start(work, "quash-client-call")
        return future
