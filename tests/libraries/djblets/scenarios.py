"""What djblets.cache keeps, and what Quash removes of it."""

from datetime import datetime, timezone
from decimal import Decimal
from uuid import UUID

from harness.scenario import Scenario, call, create, delete, truncate, update

VENV = "django42"
BACKENDS = ["django", "django_redis"]
AES_KEY = "my-32-byte-aes-key-here........."
SECRETS = {"django": "0123456789abcdefSECRETSECRET", "aes": AES_KEY, "short": "16 bytes of keys", "bytes": "00ff" * 8}

ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
NOON = datetime(2024, 1, 2, 12, 0, 0, 678901, tzinfo=timezone.utc)


def cached(key, *dependencies, more=None, **library):
    """A cache of these keys on the first site, which depends on all columns of a row unless something else is said."""
    declared = {"key": key, "sites": ["books.example.com"], **library}
    if key is None:
        del declared["key"]
    return {"djblets": declared, "depends_on": list(dependencies) or [{"row": "Row"}], **(more or {})}


def anything(published, gone, kept, declared=None):
    cache = cached("any:{value}", {"row": "Row", "nulls": "keep"})
    if declared:
        cache["types"] = {"value": declared}
    return {
        "cache": cache,
        "events": [create("Row", {"value": published})],
        "goes": [call("anything", gone)],
        "stays": [call("anything", kept)],
    }


SCENARIOS = [
    Scenario(
        "one_key_goes",
        cached("stats:{user}"),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7)],
        stays=[call("stats", 70), call("stats", 8)],
    ),
    Scenario(
        "a_move_takes_both_sides",
        cached("stats:{user}"),
        [update("Row", {"user": 7}, {"user": 8})],
        goes=[call("stats", 7), call("stats", 8)],
        stays=[call("stats", 9)],
    ),
    Scenario(
        "the_parts_of_a_list_are_escaped",
        cached(["parts", "{a}", "{b}"]),
        [create("Row", {"a": "a:b", "b": "c%d"})],
        goes=[call("parts", "a:b", "c%d")],
        stays=[call("parts", "a", "b:c%d"), call("parts", "a%3Ab", "c%d")],
    ),
    Scenario(
        "a_text_is_taken_as_it_is",
        cached("stats:{user}"),
        [create("Row", {"user": "a:b%"})],
        goes=[call("stats", "a:b%")],
        stays=[call("stats", "a:b"), call("parts", "a", "b%")],
    ),
    Scenario(
        "blanks_are_escaped",
        cached("stats:{user}"),
        [create("Row", {"user": "a b\tc\x7f\u00a0"})],
        goes=[call("stats", "a b\tc\x7f\u00a0")],
        stays=[call("stats", "a b c\x7f\u00a0")],
    ),
    Scenario(
        "long_keys_are_shortened",
        cached("stats:{user}"),
        [create("Row", {"user": "k " * 150 + "a"})],
        goes=[call("stats", "k " * 150 + "a")],
        stays=[call("stats", "k " * 150 + "b"), call("stats", "k " * 150)],
    ),
    Scenario(
        "long_lists_are_shortened_by_characters",
        cached(["parts", "{a}", "{b}"]),
        [create("Row", {"a": "é:" * 90, "b": "ü" * 90})],
        goes=[call("parts", "é:" * 90, "ü" * 90)],
        stays=[call("parts", "é:" * 90, "ü" * 89)],
    ),
    Scenario("truth_is_a_word", **anything(True, True, "true")),
    Scenario("nothing_is_a_word", **anything(None, None, "null")),
    Scenario("a_large_float_has_an_exponent", **anything(1e16, 1e16, 10**16)),
    Scenario("a_decimal_keeps_its_zeros", **anything("1.50", Decimal("1.50"), Decimal("1.5"), "decimal")),
    Scenario("a_uuid_has_hyphens", **anything(ID.replace("-", ""), UUID(ID), ID.replace("-", ""), "uuid")),
    Scenario(
        "a_date_with_a_time_has_a_space",
        **anything("2024-01-02T12:00:00.678901+00:00", NOON, NOON.replace(microsecond=0), "datetime"),
    ),
    Scenario(
        "a_decimal_as_a_number_is_refused",
        anything(1.5, 0, 0, "decimal")["cache"],
        [create("Row", {"value": 1.5})],
        stays=[call("anything", Decimal("1.50"))],
        refused="zeros are lost",
    ),
    Scenario(
        "templates_format_as_python_does",
        cached(["formatted", "{number:04d}", "{name!r}"]),
        [create("Row", {"number": 7, "name": "a:b"})],
        goes=[call("formatted", 7, "a:b")],
        stays=[call("formatted", 70, "a:b"), call("formatted", 7, "a")],
    ),
    Scenario(
        "a_root_stands_behind_the_domain",
        cached("stats:{user}", sites=[{"domain": "books.example.com", "site_root": "/reviews/"}]),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7)],
        stays=[call("stats", 8)],
        settings={"SITE_ROOT": "/reviews/"},
    ),
    Scenario(
        "every_site_that_is_listed_goes",
        cached("stats:{user}", sites=["books.example.com", "news.example.com:8000"]),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7), call("stats", 7, site=2)],
        stays=[call("stats", 8, site=2), call("stats", 7, site=3)],
    ),
    Scenario(
        "no_other_site_goes",
        cached("stats:{user}"),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7)],
        stays=[call("stats", 7, site=2)],
    ),
    Scenario(
        "keys_without_a_site_go_where_that_is_said",
        cached("stats:{user}", without_site=True),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7), call("stats", 7, site=3)],
        stays=[call("stats", 8, site=3), call("stats", 7, site=2)],
    ),
    Scenario(
        "encrypted_keys_go_by_the_secret_key",
        cached("secret:{name}:{lang}", encryption={"first_16_of": "django"}),
        [create("Row", {"name": "x", "lang": "en"})],
        goes=[call("secret", "x")],
        stays=[call("secret", "y"), call("secret", "x", encrypted=False), call("secret", "x", key=AES_KEY)],
    ),
    Scenario(
        "encrypted_keys_go_by_a_key_of_their_own",
        cached("secret:{name}:{lang}", encryption={"key": "aes"}),
        [create("Row", {"name": "x y", "lang": "en"})],
        goes=[call("secret", "x y", key=AES_KEY)],
        stays=[call("secret", "y", key=AES_KEY), call("secret", "x y")],
    ),
    Scenario(
        "a_key_that_is_no_text_is_given_in_digits",
        cached("secret:{name}:{lang}", encryption={"hex_key": "bytes"}),
        [create("Row", {"name": "x", "lang": "en"})],
        goes=[call("secret", "x", digits="00ff" * 8)],
        stays=[call("secret", "y", digits="00ff" * 8), call("secret", "x", key="0f" * 8)],
    ),
    Scenario(
        "encryption_that_settings_force_has_their_key",
        cached("forced:{name}", encryption={"key": "short"}),
        [create("Row", {"name": "x"})],
        goes=[call("forced", "x")],
        stays=[call("forced", "y")],
        settings={
            "DJBLETS_CACHE_FORCE_ENCRYPTION": True,
            "DJBLETS_CACHE_DEFAULT_ENCRYPTION_KEY": SECRETS["short"],
        },
    ),
    Scenario(
        "keys_old_and_new_go_while_encryption_is_turned_on",
        cached("secret:{name}:{lang}", encryption={"first_16_of": "django", "key": ["aes"], "plain": True}),
        [create("Row", {"name": "x", "lang": "en"})],
        goes=[call("secret", "x"), call("secret", "x", encrypted=False), call("secret", "x", key=AES_KEY)],
        stays=[call("secret", "y"), call("secret", "y", encrypted=False)],
    ),
    Scenario(
        "what_is_encrypted_is_enumerated",
        cached(
            "secret:{name}:{lang}",
            {"row": "Row", "map": {"name": "name"}},
            encryption={"first_16_of": "django"},
            more={"values": {"lang": ["en", "de"]}},
        ),
        [create("Row", {"name": "x"})],
        goes=[call("secret", "x", "en"), call("secret", "x", "de")],
        stays=[call("secret", "x", "fr"), call("secret", "y", "en")],
    ),
    Scenario(
        "large_data_goes_with_its_chunks",
        cached(["big", "{name}"], chunks=2),
        [create("Row", {"name": "x:1"})],
        goes=[call("chunk", "x:1", 0), call("chunk", "x:1", 1), call("big", "x:1")],
        stays=[call("chunk", "y", 0), call("big", "y")],
    ),
    Scenario(
        "large_data_goes_by_its_entry_alone",
        cached(["big", "{name}"]),
        [create("Row", {"name": "x"})],
        goes=[call("big", "x")],
        stays=[call("big", "y")],
    ),
    Scenario(
        "encrypted_large_data_goes_with_its_chunks",
        cached(["big", "{name}"], chunks=2, encryption={"key": "aes"}),
        [create("Row", {"name": "x"})],
        goes=[call("chunk", "x", 0, AES_KEY), call("chunk", "x", 1, AES_KEY), call("big", "x", AES_KEY)],
        stays=[call("big", "y", AES_KEY), call("big", "x")],
    ),
    Scenario(
        "an_iterator_goes",
        cached("items:{name}", chunks=1),
        [delete("Row", {"name": "x"})],
        goes=[call("items", "x")],
        stays=[call("items", "y")],
    ),
    Scenario(
        "what_a_lock_guarded_goes",
        cached(["locked", "{name}"]),
        [create("Row", {"name": "x"})],
        goes=[call("locked", "x")],
        stays=[call("locked", "y")],
    ),
    Scenario(
        "keys_of_a_user_are_searched",
        cached("stats:{user}:{day}", {"row": "Row", "map": {"user": "user"}}),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7, "mon"), call("stats", 7, "tue"), call("stats", 7, "d" * 300)],
        stays=[call("stats", 70, "mon"), call("stats", 7), call("stats", 7, "mon", site=2)],
    ),
    Scenario(
        "keys_with_a_gap_are_searched_and_shortened_ones_are_found",
        cached("days:{day}:{user}", {"row": "Row", "map": {"user": "user"}}),
        [create("Row", {"user": "a *b"})],
        goes=[call("by_day", "mon", "a *b"), call("by_day", "d" * 300, "a *b")],
        stays=[call("by_day", "mon", "a b"), call("by_day", "mon", "a xb")],
    ),
    Scenario(
        "a_truncate_takes_all_entries",
        cached(["parts", "{a}", "{b}"]),
        [truncate("Row")],
        goes=[call("parts", "a", "b"), call("parts", "é" * 200, "c")],
        stays=[call("stats", 7)],
    ),
    Scenario(
        "a_generation_is_renewed",
        cached(None, generation="conf:{id}:generation"),
        [update("Row", {"id": 1}, {"id": 1})],
        goes=[call("configuration", 1)],
        stays=[call("configuration", 2)],
    ),
    Scenario(
        "a_rate_limit_is_reset",
        cached(["_ratelimit_", "login", "{user}", "1/3153600000", "{window}"], {"row": "Row", "map": {"user": "user"}}),
        [update("Row", {"user": "bob"}, {"user": "bob"})],
        goes=[call("attempt", "bob")],
        stays=[call("attempt", "bobby"), call("attempt", "ann")],
    ),
    Scenario(
        "two_versions_and_prefixes_go_at_once",
        cached(
            "stats:{user}", more={"key_format": {"django": {"prefix": ["$prefix", "$prefix-old"], "version": [1, 2]}}}
        ),
        [create("Row", {"user": 7})],
        goes=[call("stats", 7), call("stats", 7).behind(version=2), call("stats", 7).behind("-old", 2)],
        stays=[call("stats", 7).behind(version=3), call("stats", 7).behind("-new")],
    ),
    Scenario(
        "a_command_names_the_arguments",
        {"djblets": {"key": "stats:{user}", "sites": ["books.example.com"]}},
        [{"invalidate": {"cache": "$cache", "args": {"user": 7}}}],
        goes=[call("stats", 7)],
        stays=[call("stats", 8)],
    ),
]
