"""What django-cache-memoize keeps, and what Quash removes of it."""

from datetime import date, datetime, timezone
from decimal import Decimal
from uuid import UUID

from harness.scenario import Scenario, call, create, delete, truncate, update

VENV = "django5"
BACKENDS = ["django", "django_redis"]

ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
NOON = datetime(2024, 1, 2, 12, 0, 0, 678901, tzinfo=timezone.utc)


def price(*calls, rows="Price", **more):
    """A cache of `app.price`; several ways to call it."""
    declared = {"function": "app:price", **more.pop("library", {})}
    declared |= {"calls": list(calls)} if len(calls) > 1 else calls[0]
    return {"cache_memoize": declared, "depends_on": [{"row": rows, **more.pop("dependency", {})}], **more}


def anything(published, gone, kept, declared=None, **event):
    """The value that is published is that of the first call, and not of the second."""
    cache = {"cache_memoize": {"function": "app.anything", "args": ["value"]}, "depends_on": [{"row": "Row"}]}
    cache["depends_on"][0]["nulls"] = "keep"
    if declared:
        cache["types"] = {"value": declared}
    return {
        "cache": cache,
        "events": [create("Row", {"value": published}, **event)],
        "goes": [call("anything", gone)],
        "stays": [call("anything", kept)],
    }


BOTH = {"args": ["product", "currency"]}
KEYWORD = {"args": ["product"], "kwargs": ["currency"]}
ALONE = {"args": ["product"]}
KEYWORDS = {"kwargs": ["product", "currency"]}



def rolling(name, releases, gone, kept):
    """The calls of one function under several releases of the library."""
    called = {"function": "app:Rolling.price", "args": ["product"], "kwargs": ["z", "a"], "release": releases}
    return Scenario(
        name,
        {"cache_memoize": called, "depends_on": [{"row": "Price"}]},
        [create("Price", {"product": "a b:c", "z": "x=y", "a": 1})],
        goes=[under(release, "a b:c") for release in gone],
        stays=[under(release, "a b:c") for release in kept] + [under(release, "a b") for release in gone],
    )


def under(release, product):
    if release == "0.2.1":
        return call("rolled", product, z="x=y", a=1)
    return call("in_release", release, product, z="x=y", a=1)


SCENARIOS = [
    Scenario(
        "one_call_goes",
        price(BOTH),
        [create("Price", {"product": 7, "currency": "EUR"})],
        goes=[call("price", 7, "EUR")],
        stays=[call("price", 7, "USD"), call("price", 8, "EUR"), call("price", 7, currency="EUR")],
    ),
    Scenario(
        "a_move_takes_both_sides",
        price(BOTH),
        [update("Price", {"product": 7, "currency": "EUR"}, {"product": 8, "currency": "EUR"})],
        goes=[call("price", 7, "EUR"), call("price", 8, "EUR")],
        stays=[call("price", 9, "EUR")],
    ),
    Scenario(
        "every_declared_way_to_call_goes",
        price(BOTH, KEYWORD, ALONE, KEYWORDS),
        [delete("Price", {"product": 7, "currency": "EUR"})],
        goes=[
            call("price", 7, "EUR"),
            call("price", 7, currency="EUR"),
            call("price", 7),
            call("price", currency="EUR", product=7),
        ],
        stays=[call("price", 7, currency="USD"), call("price", 8)],
    ),
    Scenario(
        "every_value_of_an_enumerated_argument_goes",
        price(BOTH, values={"currency": ["EUR", "USD"]}, dependency={"map": {"product": "product"}}),
        [create("Price", {"product": 7})],
        goes=[call("price", 7, "EUR"), call("price", 7, "USD")],
        stays=[call("price", 7, "GBP"), call("price", 8, "EUR")],
    ),
    Scenario(
        "text_is_quoted",
        price(BOTH),
        [create("Price", {"product": "a b:c/é=%", "currency": "EUR"})],
        goes=[call("price", "a b:c/é=%", "EUR")],
        stays=[call("price", "a b:c/e=%", "EUR")],
    ),
    Scenario("truth_is_a_word", **anything(True, True, "true")),
    Scenario("nothing_is_a_word", **anything(None, None, "null")),
    Scenario("a_float_keeps_its_point", **anything(1.0, 1.0, 1)),
    Scenario("a_large_float_has_an_exponent", **anything(1e16, 1e16, 10**16)),
    Scenario("a_decimal_keeps_its_zeros", **anything("1.50", Decimal("1.50"), Decimal("1.5"), "decimal")),
    Scenario(
        "a_date_with_a_time_has_a_space",
        **anything("2024-01-02T12:00:00.678901+00:00", NOON, NOON.replace(microsecond=0), "datetime"),
    ),
    Scenario(
        "the_event_declares_a_type",
        **anything("2024-01-02", date(2024, 1, 2), date(2024, 1, 3), types={"value": "date"}),
    ),
    Scenario("a_uuid_has_hyphens", **anything(ID.replace("-", ""), UUID(ID), ID.replace("-", ""), "uuid")),
    Scenario("a_tuple_is_one_value", **anything([1, "a"], (1, "a"), [1, "a"], "tuple")),
    Scenario("bytes_are_printed_as_such", **anything("abc", b"abc", "abc", "bytes")),
    Scenario(
        "a_decimal_as_a_number_is_refused",
        anything(1.5, Decimal("1.5"), 0, "decimal")["cache"],
        [create("Row", {"value": 1.5})],
        stays=[call("anything", Decimal("1.50"))],
        refused="zeros are lost",
    ),
    Scenario(
        "a_prefix_stands_for_the_function",
        {"cache_memoize": {"prefix": "named", "args": ["a"]}, "depends_on": [{"row": "Row"}]},
        [create("Row", {"a": 1})],
        goes=[call("prefixed", 1)],
        stays=[call("prefixed", 2), call("versioned", 1)],
    ),
    Scenario(
        "an_extra_is_part_of_the_key",
        {
            "cache_memoize": {"function": "app.versioned", "args": ["a"], "extra": {"version": 2, "site": "ü"}},
            "depends_on": [{"row": "Row"}],
        },
        [create("Row", {"a": 1})],
        goes=[call("versioned", 1)],
        stays=[call("versioned", 2)],
    ),
    Scenario(
        "another_generation_takes_the_whole_function",
        {
            "cache_memoize": {"function": "app.report", "args": ["text", "page"], "generation": "gen:reports"},
            "depends_on": [{"row": "Row", "map": {}}],
        },
        [create("Row", {"id": 1})],
        goes=[call("report", "a", 1), call("report", "b", 2)],
        stays=[call("versioned", 1)],
    ),
    Scenario(
        "a_wipe_takes_every_function_and_no_strangers",
        price(BOTH, library={"wipe": True}, dependency={"map": {"product": "product"}}),
        [create("Price", {"product": 7})],
        goes=[call("price", 7, "EUR"), call("price", 8, "EUR"), call("prefixed", 1)],
        stays=[call("stranger", "x")],
    ),
    Scenario(
        "a_wipe_leaves_what_can_be_named",
        price(BOTH, library={"wipe": True}),
        [create("Price", {"product": 7, "currency": "EUR"})],
        goes=[call("price", 7, "EUR")],
        stays=[call("price", 8, "EUR"), call("stranger", "x")],
    ),
    Scenario(
        "rewritten_arguments_are_those_of_the_key",
        {"cache_memoize": {"function": "app.profile", "args": ["id"]}, "depends_on": [{"row": "User"}]},
        [update("User", {"id": 3, "name": "a"}, {"id": 3, "name": "b"})],
        goes=[call("profile", {"id": 3, "name": "a"})],
        stays=[call("profile", {"id": 4, "name": "a"})],
    ),
    Scenario(
        "a_rewritten_text_is_taken_apart",
        {"cache_memoize": {"function": "app.mails", "args": [{"chars": "email"}]}, "depends_on": [{"row": "User"}]},
        [create("User", {"email": "ab@cé"})],
        goes=[call("mails", "ab@cé")],
        stays=[call("mails", "ab@c")],
    ),
    Scenario(
        "a_method_has_its_object_first",
        {
            "cache_memoize": {"function": "app:Shop.stock", "args": ["self", "product"]},
            "depends_on": [{"row": "Stock", "map": {"self": "shop_text", "product": "product"}}],
        },
        [create("Stock", {"shop_text": "Shop(3)", "product": 7})],
        goes=[call("stock", 3, 7)],
        stays=[call("stock", 4, 7), call("stock", 3, 8)],
    ),
    Scenario(
        "a_nested_function_has_a_long_name",
        {"cache_memoize": {"function": "app:outer.<locals>.inner", "args": ["a"]}, "depends_on": [{"row": "Row"}]},
        [create("Row", {"a": 1})],
        goes=[call("nested", 1)],
        stays=[call("nested", 2)],
    ),
    Scenario(
        "what_ran_once_may_run_again",
        {"cache_memoize": {"function": "app.send", "args": ["letter"]}, "depends_on": [{"row": "Letter"}]},
        [update("Letter", {"letter": 1}, {"letter": 1})],
        goes=[call("send", 1)],
        stays=[call("send", 2)],
    ),
    Scenario(
        "nothing_is_a_result_too",
        {"cache_memoize": {"function": "app.nothing", "args": ["a"]}, "depends_on": [{"row": "Row"}]},
        [create("Row", {"a": 1})],
        goes=[call("nothing", 1)],
        stays=[call("nothing", 2)],
    ),
    Scenario(
        "a_key_of_ones_own_is_a_template",
        {"key": "mykey:{a}:{b}", "depends_on": [{"row": "Row", "map": {"a": "a"}}]},
        [create("Row", {"a": 1})],
        goes=[call("own_key", 1, 2), call("own_key", 1, 3)],
        stays=[call("own_key", 2, 2), call("own_key", 11, 2)],
    ),
    Scenario(
        "two_versions_and_prefixes_go_at_once",
        price(BOTH) | {"key_format": {"django": {"prefix": ["$prefix", "$prefix-old"], "version": [1, 2]}}},
        [create("Price", {"product": 7, "currency": "EUR"})],
        goes=[
            call("price", 7, "EUR"),
            call("price", 7, "EUR").behind(version=2),
            call("price", 7, "EUR").behind("-old"),
            call("price", 7, "EUR").behind("-old", 2),
        ],
        stays=[call("price", 7, "EUR").behind(version=3), call("price", 7, "EUR").behind("-new")],
    ),
    rolling("one_release_goes", "0.2.1", ["0.2.1"], ["0.2.0", "0.1.8", "0.1.6"]),
    rolling("two_releases_go_at_once", ["0.2.0", "0.2.1"], ["0.2.0", "0.2.1"], ["0.1.8", "0.1.6"]),
    rolling("older_releases_quote_otherwise", "0.1.8", ["0.1.8"], ["0.2.0", "0.1.6"]),
    rolling("the_oldest_releases_quote_nothing", "0.1.2", ["0.1.6"], ["0.1.8", "0.2.1"]),
    Scenario(
        "a_truncate_takes_every_enumerated_entry",
        price(BOTH, values={"currency": ["EUR"], "product": [7, 8]}),
        [truncate("Price")],
        goes=[call("price", 7, "EUR"), call("price", 8, "EUR")],
        stays=[call("price", 9, "EUR")],
    ),
    Scenario(
        "a_command_names_the_arguments",
        {"cache_memoize": {"function": "app.price", **BOTH}},
        [{"invalidate": {"cache": "$cache", "args": {"product": 7, "currency": "EUR"}}}],
        goes=[call("price", 7, "EUR")],
        stays=[call("price", 8, "EUR")],
    ),
]
