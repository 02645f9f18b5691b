"""Keys and declarations: a reader spells what the worker removes."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import vectors

from quash.errors import ConfigurationError, EventError
from quash.reader.config import Declarations, Declared

KEYS = json.loads((Path(__file__).parents[3] / "tests" / "vectors" / "keys.json").read_text())


def declared(**cache: Any) -> Declared:
    return Declarations({"caches": {"c": cache}}).cache("c")


@pytest.mark.parametrize("vector", KEYS["keys"], ids=lambda vector: f"{vector['key']}-{vector['args']}")
def test_keys_are_spelt_as_the_worker_spells_them(vector: dict[str, Any]):
    cache = declared(key=vector["key"], key_format=vector.get("key_format"))
    args = vectors.value(vector["args"])
    if vector.get("refused"):
        with pytest.raises(EventError, match="argument n of"):
            cache.key_of(args)
    else:
        assert cache.key_of(args) == vector["spelt"]


@pytest.mark.parametrize("template", KEYS["templates_refused"])
def test_templates_that_the_worker_refuses_are_refused(template: str):
    with pytest.raises(ConfigurationError, match="cache c: "):
        declared(key=template)


def test_the_nearest_name_is_suggested():
    for cache, hint in (
        ({"key": "a:{id|lowr}"}, "did you mean 'lower'?"),
        ({"key": "a:{id}", "args": ["ids"]}, "did you mean 'ids'?"),
    ):
        with pytest.raises(ConfigurationError, match=hint.replace("?", r"\?")):
            declared(**cache)
    with pytest.raises(ConfigurationError, match="did you mean 'c'"):
        Declarations({"caches": {"c": {"key": "a"}}}).cache("cc")


def test_a_format_that_a_value_does_not_have_is_refused():
    assert declared(key="d:{d:%Y}").key_of({"d": datetime.date(2026, 1, 2)}) == "d:2026"
    with pytest.raises(EventError, match="no format"):
        declared(key="d:{d:04d}").key_of({"d": "text"})


def test_a_file_is_read_as_the_worker_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SHOP_PREFIX", "eu")
    (tmp_path / "1.yaml").write_text(
        'version: 1\ntargets:\n  main: { redis: { url: "${NOT_SET}" }, key_format: { django: '
        '{ prefix: "${SHOP_PREFIX:-x}" } } }\n'
        "caches:\n  no: { key: 'page:{on}', tags: ['all:{on}', 'all'], ttl: 1h30m, soft_ttl: 1.5s, negative_ttl: 1d, "
        "lease: 250ms, wait: 0s }\n"
    )
    (tmp_path / "2.yml").write_text("caches: { two: { key: two, foreign: accept, key_format: plain } }\n")
    (tmp_path / ".hidden.yaml").write_text("nonsense: [")
    declarations = Declarations(tmp_path)
    assert declarations.names == ["no", "two"]
    cache = declarations.cache("no")
    assert cache.key_of({"on": 1}) == "eu:1:page:1"
    assert cache.tags_of({"on": 1}) == ("eu:1:all:1", "eu:1:all")
    assert (cache.ttl, cache.soft_ttl, cache.negative_ttl) == (5_400_000, 1_500, 86_400_000)
    assert (cache.lease, cache.wait) == (250, 0)
    two = declarations.cache("two")
    assert two.key_of({}) == "two"
    assert two.accept_foreign
    assert (two.ttl, two.lease, two.wait) == (600_000, 10_000, 200)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("caches: {a: {key: b}, a: {key: c}}", "stands twice"),
        ("caches: [", "cannot read"),
        ("- a", "no configuration"),
    ],
)
def test_a_file_that_cannot_be_right_says_why(tmp_path: Path, text: str, why: str):
    path = tmp_path / "quash.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=why):
        Declarations(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        Declarations(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("cache", "why"),
    [
        ({"tags": ["a"]}, "no key template"),
        ({"key": "a", "ttl": "10"}, "no length of time"),
        ({"key": "a", "ttl": 10}, "no length of time"),
        ({"key": "a", "ttl": "0s"}, "longer than nothing"),
        ({"key": "a", "layout": "plain"}, "layout"),
        ({"key": "a", "key_format": {"djano": {}}}, "key_format"),
    ],
)
def test_a_declaration_that_cannot_be_read_says_why(cache: dict[str, Any], why: str):
    with pytest.raises(ConfigurationError, match=why):
        declared(**cache)


def test_of_several_formats_a_reader_writes_the_one_that_it_is_told():
    given = {
        "targets": {"main": {"key_format": {"django": {"version": [1, 2]}}}},
        "caches": {"c": {"key": "a:{b}"}},
    }
    with pytest.raises(ConfigurationError, match="one of ':1:', ':2:'"):
        Declarations(given).cache("c")
    chosen = Declarations(given, {"django": {"version": 2}}).cache("c")
    assert chosen.key_of({"b": 1}) == ":2:a:1"
