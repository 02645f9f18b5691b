"""Real races on a real server: a load that the removal overtakes leaves nothing stale, and by hand it does."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from quash.reader import Caches, frame

#: Overtaken loads that count, races at once, and how long a load takes at most, in seconds.
RACES, TOGETHER, LOAD = 300, 8, 0.004
OLD, NEW = "old", "new"


class Race:
    """One row, and what happens to it."""

    def __init__(self) -> None:
        self.row = OLD
        self.begun = threading.Event()
        self.is_removed = False
        self.was_overtaken = False

    def load(self) -> str:
        row = self.row
        self.begun.set()
        time.sleep(random.random() * LOAD)
        self.was_overtaken |= row == OLD and self.is_removed
        return row

    def change(self, remove: Callable[[], object]) -> None:
        assert self.begun.wait(60)
        time.sleep(random.random() * LOAD)
        self.row = NEW
        remove()
        self.is_removed = True


def stale_after(
    read: Callable[[int, Callable[[], str]], str], remove: Callable[[int], object], pool: ThreadPoolExecutor
) -> float:
    """The share of races that left something stale; plays until enough loads were overtaken."""
    overtaken = played = stale = 0

    def play(number: int) -> tuple[bool, bool]:
        race = Race()
        readers = [threading.Thread(target=read, args=(number, race.load)) for _ in range(2)]
        writer = threading.Thread(target=race.change, args=(lambda: remove(number),))
        for thread in (*readers, writer):
            thread.start()
        for thread in (*readers, writer):
            thread.join()
        return race.was_overtaken, read(number, race.load) == OLD

    while overtaken < RACES:
        assert played < 10 * RACES, "too few loads were overtaken"
        for was_overtaken, is_stale in pool.map(play, range(played, played + TOGETHER)):
            overtaken, stale, played = overtaken + was_overtaken, stale + is_stale, played + 1
    return stale / played


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(TOGETHER) as threads:
        yield threads


def caches(client: redis.Redis, **declared: object) -> Caches:
    return Caches({"caches": {"row": {"key": "row:{number}", "wait": "1ms", **declared}}}, redis=client)


def test_a_removal_leaves_nothing_stale(cache: redis.Redis, pool: ThreadPoolExecutor):
    rows = caches(cache).cache("row")
    share = stale_after(
        lambda number, load: rows.get_or_load({"number": number}, load),
        lambda number: cache.unlink(f"row:{number}"),
        pool,
    )
    assert share == 0


def test_a_renewed_tag_leaves_nothing_stale(cache: redis.Redis, pool: ThreadPoolExecutor):
    rows = caches(cache, tags=["tag:{number}"]).cache("row")
    share = stale_after(
        lambda number, load: rows.get_or_load({"number": number}, load),
        # As the worker renews one: where there is none, nothing is fresh.
        lambda number: cache.set(f"tag:{number}", frame.new_tag(), xx=True, keepttl=True),
        pool,
    )
    assert share == 0


def test_by_hand_the_same_races_leave_what_is_stale(cache: redis.Redis, pool: ThreadPoolExecutor):
    def read(number: int, load: Callable[[], str]) -> str:
        stands = cache.get(f"row:{number}")
        if stands is not None:
            return str(json.loads(stands))
        value = load()
        cache.set(f"row:{number}", json.dumps(value), ex=60)
        return value

    assert stale_after(read, lambda number: cache.unlink(f"row:{number}"), pool) >= 0.1
