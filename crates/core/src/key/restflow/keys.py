"""Writes `keys.jsonl`: keys of the real drf-restflow, each with the declaration and the arguments that must give it.

    python3 -m venv venv && venv/bin/pip install drf-restflow==2.0.1 django==5.2.19
    venv/bin/python keys.py > keys.jsonl
    venv/bin/pip install drf-restflow==1.1.0
    venv/bin/python keys.py 1.1.0 >> keys.jsonl

The keys of 1.1.0 are those that differ.
"""

import datetime as dt
import decimal
import json
import sys
import types
import uuid

import django
from django.conf import settings

settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    INSTALLED_APPS=["rest_framework"],
    RESTFLOW_SETTINGS={"CACHE_SETTINGS": {"KEY_HASH_ALGORITHM": "sha256"}},
)
django.setup()

from restflow.caching import (  # noqa: E402
    ArgsKeyField,
    ConstantKeyField,
    InlineKeyConstructor,
    RequestValueKeyField,
    cache_result,
)
from restflow.settings import restflow_settings  # noqa: E402

RELEASE = sys.argv[1] if len(sys.argv) > 1 else None
MODULE = "app"


def get_book(book_id, lang="en"):
    """The function whose keys are asked for."""


get_book.__module__ = MODULE


def bare():
    """One without arguments."""


bare.__module__ = MODULE


def view(request, pk):
    """One that sees a request."""


view.__module__ = MODULE


def key(fields, call, function=get_book, algorithm="sha256", **meta):
    """The key of a call under a constructor with these fields."""
    restflow_settings.CACHE_SETTINGS.KEY_HASH_ALGORITHM = algorithm
    constructor = InlineKeyConstructor(fields=fields, **meta)
    wrapped = cache_result(constructor)(function)
    args, kwargs = call
    return wrapped.get_cache_key(*args, **kwargs)


def line(declared, values, found):
    """One line: the declaration, the arguments as an event has them, the key."""
    declared.setdefault("identifier", "app.get_book")
    if RELEASE:
        declared["release"] = RELEASE
    print(json.dumps({"declared": declared, "args": values, "key": found}, ensure_ascii=False))


def one(value, published=None, type=None, **options):
    """A function of one argument with a value that is published so."""
    published = value if published is None else published
    fields = {"book": ArgsKeyField("book_id", partition=True, **options)}
    declared = {"fields": {"book": {"args": "book_id", "partition": True, **options}}}
    if type:
        declared["types"] = {"book_id": type}
    line(declared, {"book_id": published}, key(fields, ((value,), {})))


def both(fields, declared, call=((42,), {}), values=None, **more):
    """The function of two arguments; the declaration says what the constructor does."""
    line(declared, values or {"book_id": 42, "lang": "en"}, key(fields, call, **more))


BOOK = ArgsKeyField("book_id", partition=True)
LANG = ArgsKeyField("lang")
OF_BOOK = {"args": ["book_id"], "partition": True}
OF_LANG = {"args": ["lang"]}

# What ends without a suffix differs between releases.
one(42)
line({"identifier": "app.bare"}, {}, key({}, ((), {}), bare))
line({"identifier": "shared", "namespace": "n"}, {}, key({}, ((), {}), bare, namespace="n", key_identifier="shared"))
if RELEASE:
    raise SystemExit

both({"book": BOOK, "lang": LANG}, {"fields": {"book": OF_BOOK, "lang": OF_LANG}})
both(
    {"book": BOOK, "lang": LANG},
    {"namespace": "books", "fields": {"book": OF_BOOK, "lang": OF_LANG}},
    namespace="books",
)
both(
    {"zeta": BOOK, "alpha": ArgsKeyField("lang", partition=True), "schema": ConstantKeyField("schema", 7)},
    {
        "namespace": "cat",
        "version": 3,
        "fields": {
            "zeta": OF_BOOK,
            "alpha": {"args": ["lang"], "partition": True},
            "schema": {"constant": {"schema": 7}},
        },
    },
    namespace="cat",
    version=3,
)
both({"all": ArgsKeyField("*")}, {"fields": {"all": {"args": ["lang", "book_id"]}}})
both({"all": ArgsKeyField("*", hash_value=True)}, {"fields": {"all": {"args": ["lang", "book_id"], "hash_value": True}}})
for flag in (True, "True"):
    both({"book": BOOK, "flag": ConstantKeyField("on", flag, hash_value=True)},
         {"fields": {"book": OF_BOOK, "flag": {"constant": {"on": flag}, "hash_value": True}}},
         values={"book_id": 42})
for algorithm in ("md5", "sha224", "sha384", "sha512"):
    both(
        {"book": ArgsKeyField("book_id", partition=True, hash_value=True), "lang": LANG},
        {"key_hash_algorithm": algorithm, "fields": {"book": {**OF_BOOK, "hash_value": True}, "lang": OF_LANG}},
        algorithm=algorithm,
    )
for length in (244, 245, 246):  # `lang:` stands before it
    for text in ("x" * length, "é" * length):
        both(
            {"book": BOOK, "lang": LANG},
            {"hash_suffix_on_overflow": True, "fields": {"book": OF_BOOK, "lang": OF_LANG}},
            call=((42, text), {}),
            values={"book_id": 42, "lang": text},
            hash_suffix_on_overflow=True,
        )
both(
    {"book": BOOK, "lang": LANG},
    {"hash_suffix_on_overflow": True, "max_key_suffix_length": 3, "key_hash_algorithm": "md5",
     "fields": {"book": OF_BOOK, "lang": OF_LANG}},
    hash_suffix_on_overflow=True, max_key_suffix_length=3, algorithm="md5",
)

# Values.
for value in (True, False, 0, -7, 10**18, 1.0, 1e16, 1e-05, -0.0, "", "a b", "é", "a::", "::", ":", "a||b", "1,2", "*[?]"):
    one(value)
one("a::b")
one(None, None)
utc = dt.timezone.utc
one(decimal.Decimal("1.10"), "1.10", "decimal")
one(decimal.Decimal("1E+3"), "1E+3", "decimal")
one(dt.date(2024, 1, 2), "2024-01-02", "date")
one(dt.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05", "datetime")
one(dt.datetime(2024, 1, 2, 3, 4, 5, 678901, utc), "2024-01-02T03:04:05.678901Z", "datetime")
one(dt.time(3, 4, 5, 678901), "03:04:05.678901", "time")
one(uuid.UUID(int=42), "0000000000000000000000000000002a", "uuid")
one(b"a'b", "a'b", "bytes")
one([3, 1, "b", None, True, 1.5], type="list")
one((3, 1), [3, 1], "tuple")
one([3, 1, 2], type="list", sort_lists=True)
one([10, 9, "a"], type="list", sort_lists=True)
one([], type="list")
one([[1, 2], [3]], type="list")
one([dt.date(2024, 1, 2)], ["2024-01-02"], "list")
one({"b": 1, "a": [1, 2], "c": None}, type="dict")
one({}, type="dict")
one(5, hash_value=True)
one("", hash_value=True)
one(None, None, hash_value=True)
one([3, 1], type="list", hash_value=True)
one([3, 1], type="list", hash_value=True, sort_lists=True)
one({"a": ["0", "1"], "b": "2"}, type="dict", hash_value=True)

# What stands behind a path and in a request.
author = types.SimpleNamespace(id=5, country=types.SimpleNamespace(code="de"))
for path, value in (("id", 5), ("country.code", "de")):
    both(
        {"book": ArgsKeyField("book_id", path=path, partition=True)},
        {"fields": {"book": {"args": "book_id", "path": path, "partition": True}}},
        call=((author,), {}),
        values={f"book_id.{path}": value},
    )
for user, published in ((9, 9), (None, None), (True, True), ("x", "x")):
    for hashed in ({}, {"hash_value": True}):
        request = types.SimpleNamespace(user=types.SimpleNamespace(id=user))
        line(
            {
                "identifier": "app.view",
                "fields": {"user": {"request": "user.id", "partition": True, **hashed}, "pk": {"args": ["pk"]}},
            },
            {"user_id": published, "pk": 1},
            key(
                {"user": RequestValueKeyField("user.id", partition=True, **hashed), "pk": ArgsKeyField("pk")},
                ((request, 1), {}),
                view,
            ),
        )
