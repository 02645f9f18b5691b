"""Holds events, values, messages and URLs to what is written of them; needs no server."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import types
import uuid
from pathlib import Path
from typing import Any

import pytest
import vectors

import quash
from quash import Event, Invalidate, address, ids
from quash.coalesce import coalesced
from quash.message import pack
from quash.values import plain

_VECTORS = vectors.load()


@pytest.mark.parametrize("vector", _VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_a_vector_is_spelt_as_everybody_spells_it(vector: dict[str, Any]) -> None:
    assert vectors.body(vector["publish"]) == vector["body"]


@pytest.mark.parametrize("vector", _VECTORS["refused"], ids=lambda vector: vector["name"])
def test_what_no_worker_takes_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(quash.EventError):
        vectors.body([vector["publish"]])


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Event(entity="shop.Book", op="create", after={"x": object()}), "column x: a object has no exact text"),
        (Event(entity="shop.Book", op="create", after={"x": "\ud800"}), "column x: text is not Unicode"),
        (Event(entity="shop.Book", op="create", after={"x": {None: 1}}), "a name is text, not a NoneType"),
        (Event(entity="b", op="update", key={"id": 1}, changed="title"), "changed is a list"),
        (Event(entity="b", op="truncate", time=datetime.datetime(2026, 1, 1)), "says no offset"),
        (Event(entity="b", op="create", after=[1]), "after is a mapping"),  # type: ignore[arg-type]
        (Event.truncate("b", headers={"Nats-Rollup": "all"}), "a header cannot be called 'Nats-Rollup'"),
        (Event.truncate("b", headers={"body": "x"}), "a header cannot be called 'body'"),
        (Event.truncate("b", headers={"a b": "x"}), "a header cannot be called 'a b'"),
        (Event.truncate("b", headers={"a": "x\ny"}), "header a: a value is one line of text"),
    ],
)
def test_a_mistake_is_named(event: Event, words: str) -> None:
    with pytest.raises(quash.EventError, match=words):
        event.document()


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (Event.create("e", after={"id": 1}), {"op": "create", "after": {"id": 1}}),
        (Event.update("e", key={"id": 1}, changed=["a"]), {"op": "update", "key": {"id": 1}, "changed": ["a"]}),
        (Event.delete("e", before={"id": 1}), {"op": "delete", "before": {"id": 1}}),
        (Event.truncate("e"), {"op": "truncate"}),
        *(
            (
                getattr(Event, op)("e", "r", from_={"id": 1}, to=[{"id": 2}]),
                {"op": op, "relation": "r", "from": {"id": 1}, "to": [{"id": 2}]},
            )
            for op in ("add", "remove", "clear")
        ),
    ],
)
def test_an_event_is_made_in_the_words_of_its_operation(short: Event, long: dict[str, Any]) -> None:
    document = short.document()
    assert {name: value for name, value in document.items() if name not in {"id", "time"}} == {"entity": "e", **long}


def test_the_package_offers_what_it_says_and_nothing_else() -> None:
    assert quash.__version__
    modules = {name for name, value in vars(quash).items() if isinstance(value, types.ModuleType)}
    offered = {name for name in vars(quash) if not name.startswith("_")} - modules - {"annotations"}
    assert offered | {"__version__"} == set(quash.__all__) | {"Any", "Iterable"}


def test_nothing_but_python_is_needed_until_a_broker_is_named() -> None:
    source = Path(quash.__file__).parents[1]
    code = f"""
import sys
sys.path.insert(0, {str(source)!r})
import quash
quash.Event(entity="shop.Book", op="create", after={{"id": 1}}).document()
for kind in ("redis", "amqp", "nats"):
    try:
        quash.Publisher(f"{{kind}}://h")
    except quash.ConfigurationError as error:
        print(error)
"""
    # -S: without what is installed.
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    told = ran.stdout.splitlines()
    assert [line.split(", ")[1].split(": ")[0] for line in told] == [
        f"install it as quash-client[{kind}]" for kind in ("redis", "amqp", "nats")
    ]


def test_an_event_that_is_too_large_is_refused_before_it_is_sent() -> None:
    publisher = quash.Publisher("redis://127.0.0.1:1/0")
    with pytest.raises(quash.EventError, match=r"shop\.Book has 10487\d\d bytes, the limit is 1048576"):
        publisher.publish(Event(entity="shop.Book", op="create", after={"text": "x" * 2**20}))


def test_messages_keep_order_and_size() -> None:
    documents = [{"id": str(number), "entity": "e", "after": {"text": "x" * 1000}} for number in range(600)]
    messages = pack(documents)
    assert max(len(message.body) for message in messages) <= 256 * 1024
    events = [event["id"] for message in messages for event in json.loads(message.body)["events"]]
    assert events == [str(number) for number in range(600)]


def test_a_message_is_named_by_its_content() -> None:
    first, second, third = ({"id": name, "entity": "e", "op": "truncate"} for name in "abc")
    name = lambda *documents: [message.id for message in pack(documents)]  # noqa: E731
    assert name(first) == ["a"]
    assert name(first, second) == name(first, second)
    assert name(first, second) != name(first, second, third)


def test_a_transaction_does_not_hold_another() -> None:
    transaction = {"events": [{"id": "1", "entity": "e", "op": "truncate"}]}
    single = {"id": "2", "entity": "e", "op": "truncate"}
    bodies = [json.loads(message.body) for message in pack([single, transaction, single, single])]
    assert bodies == [single, transaction, {"events": [single, single]}]


def test_identifiers_sort_by_time() -> None:
    early, late = (ids.uuid7(milliseconds, b"\xff" * 10) for milliseconds in (1, 2))
    assert early < ids.uuid7(2, b"\x00" * 10) < late
    read = uuid.UUID(early)
    assert (str(read), read.version, read.variant) == (early, 7, uuid.RFC_4122)
    assert quash.Event(entity="e", op="truncate").id != quash.Event(entity="e", op="truncate").id


def test_subclasses_are_their_values() -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "not this"

    assert plain(Name("x")) == "x"
    assert plain(True) is True


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h", "redis h:6379 stream quash.events"),
        ("rediss://u:p%40@h:1/3?stream=s", "redis h:1 stream s"),
        ("unix:///run/redis.sock?stream=s", "redis /run/redis.sock stream s"),
        ("amqp://u:p@h/%2Fv?queue=q", "amqp h:5672 queue q"),
        ("amqps://h", "amqp h:5671 queue quash.events"),
        ("nats://h:1?subject=a.b", "nats h:1 subject a.b"),
        ("redis://[::1]:7/0", "redis ::1:7 stream quash.events"),
    ],
)
def test_an_address_says_where_and_never_the_password(url: str, said: str) -> None:
    assert str(address.parse(url)) == said
    assert "p@" not in repr(address.parse(url))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("kafka://u:secret@h", "begins with 'kafka', expected one of redis://"),
        ("redis://", "names no host"),
        ("redis://u:secret@h:x/0", "the port in the broker's URL is no number"),
        ("redis://u:secret@h/0?strem=s", "unknown option 'strem', known are ca_file, cert_file, key_file, stream"),
        ("redis://[u:secret@h", "malformed"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(url: str, words: str) -> None:
    with pytest.raises(quash.ConfigurationError) as caught:
        address.parse(url)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("vector", _VECTORS["coalesced"], ids=lambda vector: vector["name"])
def test_repeats_are_merged_as_everybody_merges_them(vector: dict[str, Any]) -> None:
    assert json.dumps(coalesced(vector["gathered"])) == json.dumps(vector["sent"])


def test_repeats_are_merged_and_images_are_kept() -> None:
    def update(name: str, before: int, after: int, changed: list[str] | None = None) -> dict[str, Any]:
        said = {} if changed is None else {"changed": changed}
        images = {"before": {"a": before}, "after": {"a": after}}
        return {"id": name, "entity": "e", "op": "update", "key": {"id": 1}, **images, **said}

    def merged(*documents: dict[str, Any]) -> list[str]:
        return [document["id"] for document in coalesced(documents)]

    assert merged(update("1", 3, 3), update("2", 3, 4), update("3", 4, 4)) == ["1"]
    assert coalesced([update("1", 3, 3, ["b"]), update("2", 3, 4, ["a"])])[0] == update("1", 3, 4, ["b", "a"])
    assert "changed" not in coalesced([update("1", 3, 3, ["b"]), update("2", 3, 3)])[0]
    # 4 was there for a while, and somebody may have cached it.
    assert merged(update("1", 3, 4), update("2", 4, 5)) == ["1", "2"]
    assert merged(update("1", 3, 4), update("2", 5, 5)) == ["1", "2"]
    tag = {"invalidate": {"tag": "t"}}
    assert merged(tag | {"id": "1"}, tag | {"id": "2"}, {"id": "3", "invalidate": {"tag": "u"}}) == ["1", "3"]


def test_the_current_trace_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    context = types.SimpleNamespace(is_valid=True, trace_id=0xABC, span_id=0xD, trace_flags=1)
    span = types.SimpleNamespace(get_span_context=lambda: context)
    trace = types.SimpleNamespace(get_current_span=lambda: span)
    monkeypatch.setitem(sys.modules, "opentelemetry", types.SimpleNamespace(trace=trace))
    document = quash.Publisher("redis://h").document(Event(entity="e", op="truncate"))
    assert document["traceparent"] == f"00-{'abc':0>32}-{'d':0>16}-01"


def test_a_command_gets_no_fields_that_it_cannot_have() -> None:
    document = quash.Publisher("redis://h", source="s").document(Invalidate(tag="t", id="1", time=None))
    assert document == {"id": "1", "invalidate": {"tag": "t"}}
