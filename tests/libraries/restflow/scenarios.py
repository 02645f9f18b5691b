"""What drf-restflow keeps, and what Quash removes of it."""

from datetime import date, datetime, timezone
from decimal import Decimal
from uuid import UUID

from harness.scenario import Scenario, call, create, delete, truncate, update

VENV = "django5"
BACKENDS = ["django", "django_redis"]

ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
NOON = datetime(2024, 1, 2, 12, 0, 0, 678901, tzinfo=timezone.utc)

BOOK = {"args": "book_id", "partition": True}
LANG = {"args": "lang"}
SLUG = {"slug": {"args": "slug", "partition": True}}


def cached(identifier, fields, row="Book", library=None, cache=None, **dependency):
    """A cache of this function that depends on a row."""
    library = {"identifier": identifier, "fields": fields, **(library or {})}
    return {"restflow": library, "depends_on": [{"row": row, **dependency}], **(cache or {})}


def book(identifier="books.get_book", **more):
    return cached(identifier, {"book": BOOK, "lang": LANG}, library={"namespace": "books"}, **more)


def by_id(**more):
    return book(map={"book_id": "id"}, **more)


def catalog(version=3, **more):
    fields = {
        "zeta": {"args": "author_id", "partition": True},
        "alpha": {"args": "status", "partition": True},
        "n": {"args": "n"},
        "schema": {"constant": {"schema": 7}},
    }
    return cached("books.catalog", fields, library={"namespace": "cat", "version": version}, **more)


def anything(published, gone, kept, declared=None, function="anything", field=None, **event):
    """The value that is published is that of the first call, and not of the second."""
    field = {"args": "value", "partition": True, **(field or {})}
    types = {"types": {"value": declared}} if declared else {}
    cache = cached(f"books.{function}", {"value": field}, "Row", cache=types, nulls="keep")
    return {
        "cache": cache,
        "events": [create("Row", {"value": published}, **event)],
        "goes": [call(function, gone)],
        "stays": [call(function, kept)],
    }


SCENARIOS = [
    Scenario(
        "one_key_goes",
        book(),
        [update("Book", {"book_id": 42, "lang": "en"}, {"book_id": 42, "lang": "en"})],
        goes=[call("get_book", 42)],
        stays=[call("get_book", 42, "de"), call("get_book", 420), call("get_book_reviews", 42)],
    ),
    Scenario(
        "a_partition_goes",
        by_id(),
        [update("Book", {"id": 42}, {"id": 42})],
        goes=[call("get_book", 42), call("get_book", 42, "de")],
        stays=[call("get_book", 420), call("get_book", 4), call("get_book_reviews", 42), call("stranger", "42")],
    ),
    Scenario(
        "a_partition_of_few_values_goes_by_its_keys",
        by_id(cache={"values": {"lang": ["en", "de"]}}),
        [delete("Book", {"id": 42})],
        goes=[call("get_book", 42), call("get_book", 42, "de")],
        stays=[call("get_book", 42, "fr"), call("get_book", 420)],
    ),
    Scenario(
        "a_move_takes_both_partitions",
        catalog(map={"author_id": "author_id", "status": "status"}),
        [update("Book", {"author_id": 3, "status": "pub"}, {"author_id": 4, "status": "pub"})],
        goes=[call("catalog", 3, "pub"), call("catalog", 4, "pub", 2)],
        stays=[call("catalog", 5, "pub"), call("catalog", 3, "draft")],
    ),
    Scenario(
        "a_leading_field_of_the_partition_is_enough",
        catalog(map={"status": "status"}),
        [create("Book", {"status": "pub"})],
        goes=[call("catalog", 3, "pub"), call("catalog", 4, "pub", 2)],
        stays=[call("catalog", 3, "published"), call("catalog", 3, "draft")],
    ),
    Scenario(
        "so_is_a_later_field",
        catalog(map={"author_id": "author_id"}),
        [create("Book", {"author_id": 3})],
        goes=[call("catalog", 3, "pub"), call("catalog", 3, "draft", 2)],
        stays=[call("catalog", 33, "pub"), call("catalog", 4, "draft")],
    ),
    Scenario(
        "so_is_a_field_of_the_suffix",
        book(map={"lang": "lang"}),
        [create("Book", {"lang": "de"})],
        goes=[call("get_book", 42, "de"), call("get_book", 43, "de")],
        stays=[call("get_book", 42, "de-AT"), call("get_book", 42)],
    ),
    Scenario(
        "a_function_goes",
        by_id(),
        [truncate("Book")],
        goes=[call("get_book", 42), call("get_book", 43, "de")],
        stays=[call("get_book_reviews", 42), call("stranger", "books::books.get_boo::k")],
    ),
    Scenario(
        "functions_of_one_constructor_go_together",
        book(["books.get_book", "books.get_book_reviews"], map={"book_id": "id"}),
        [update("Book", {"id": 42}, {"id": 42})],
        goes=[call("get_book", 42), call("get_book_reviews", 42, "de")],
        stays=[call("get_book", 43), call("get_book_reviews", 43)],
    ),
    Scenario(
        "a_namespace_goes",
        {"restflow": {"namespace": "books"}, "depends_on": [{"row": "Import"}]},
        [create("Import", {"id": 1})],
        goes=[call("get_book", 42), call("get_book_reviews", 43, "de")],
        stays=[call("by_slug", "books"), call("stranger", "books:"), call("stranger", "bookshelf::x")],
    ),
    Scenario(
        "older_versions_go",
        {"restflow": {"namespace": "cat", "version": [1, 2]}},
        [{"invalidate": {"cache": "$cache", "args": {}}}],
        goes=[call("catalog_1", 3, "pub"), call("catalog_2", 3, "pub")],
        stays=[call("catalog", 3, "pub")],
    ),
    Scenario(
        "several_versions_go_while_a_deployment_rolls_over",
        catalog([2, 3], map={"author_id": "author_id", "status": "status"}),
        [create("Book", {"author_id": 3, "status": "pub"})],
        goes=[call("catalog", 3, "pub"), call("catalog_2", 3, "pub")],
        stays=[call("catalog_1", 3, "pub"), call("catalog_2", 4, "pub")],
    ),
    Scenario(
        "several_prefixes_go_while_a_deployment_rolls_over",
        by_id(cache={"key_format": {"django": {"prefix": ["$prefix", "$prefix-next"]}}}),
        [create("Book", {"id": 42})],
        goes=[call("get_book", 42), call("get_book", 42).behind("-next")],
        stays=[call("get_book", 42).behind("-other"), call("get_book", 43).behind("-next")],
    ),
    Scenario(
        "the_version_of_the_alias_does_not_count",
        by_id(cache={"key_format": {"django": {"prefix": "$prefix", "version": 5}}}),
        [create("Book", {"id": 42})],
        goes=[call("get_book", 42).behind("", 5)],
        stays=[call("get_book", 43)],
    ),
    Scenario(
        "a_key_without_a_suffix_ends_with_its_separator",
        cached("books.by_slug", SLUG),
        [create("Book", {"slug": "ab"})],
        goes=[call("by_slug", "ab")],
        stays=[call("by_slug", "abc"), call("by_slug", "a")],
    ),
    Scenario(
        "in_the_release_before_it_ends_with_nothing",
        cached("books.by_slug", SLUG, library={"release": "1.1.0"}),
        [create("Book", {"slug": "ab"})],
        goes=[call("by_slug_before", "ab")],
        stays=[call("by_slug", "ab"), call("by_slug_before", "a"), call("everything_before", 1)],
    ),
    Scenario(
        "both_releases_go_at_once",
        cached("books.by_slug", SLUG, library={"release": ["1.1.0", "2.0.1"]}),
        [create("Book", {"slug": "ab"})],
        goes=[call("by_slug_before", "ab"), call("by_slug", "ab")],
        stays=[call("by_slug_before", "a"), call("by_slug", "a")],
    ),
    Scenario(
        "a_function_goes_in_every_release",
        cached("books.by_slug", SLUG, library={"release": ["1.1.0", "2.0.1"]}),
        [truncate("Book")],
        goes=[call("by_slug_before", "ab"), call("by_slug", "c")],
        stays=[call("everything_before", 1), call("everything", 2)],
    ),
    Scenario(
        "text_is_not_a_pattern",
        by_id(),
        [create("Book", {"id": "4*"}), create("Book", {"id": "[5]?"})],
        goes=[call("get_book", "4*"), call("get_book", "[5]?", "de")],
        stays=[call("get_book", "42"), call("get_book", "5x")],
    ),
    Scenario(
        "separators_in_values_are_as_the_library_has_them",
        cached("books.by_slug", SLUG),
        [create("Book", {"slug": slug}) for slug in ("a::b", "c:", "d::", "", "e||f,g")],
        goes=[call("by_slug", slug) for slug in ("a::b", "c:", "d::", "", "e||f,g")],
        stays=[call("by_slug", slug) for slug in ("a", "b", "c", "e")],
    ),
    Scenario(
        "all_arguments_are_one_field",
        cached("books.everything", {"arguments": {"args": ["a", "b"]}}),
        [create("Book", {"a": 1, "b": 2})],
        goes=[call("everything", b=2, a=1)],
        stays=[call("everything", 1, 3), call("everything", 11)],
    ),
    Scenario(
        "a_field_may_be_known_in_parts",
        cached("books.everything", {"arguments": {"args": ["a", "b"]}}, map={"a": "a"}),
        [create("Book", {"a": 1})],
        goes=[call("everything", 1), call("everything", 1, 3)],
        stays=[call("everything", 11), call("everything", 2, 1)],
    ),
    Scenario(
        "so_may_its_later_parts",
        cached("books.parts", {"book": BOOK, "parts": {"args": ["a", "b"]}}, map={"b": "b"}),
        [create("Book", {"b": 2})],
        goes=[call("parts", 1, 1, 2), call("parts", 2, 3, 2)],
        stays=[call("parts", 1, 1, 22), call("parts", 1, 2, 1)],
    ),
    Scenario(
        "a_function_without_arguments_is_one_key",
        cached("front", {}),
        [create("Book", {"id": 1})],
        goes=[call("bare")],
        stays=[call("get_book", 1)],
    ),
    Scenario(
        "a_method_has_its_class_in_the_key",
        cached("books.Shop.stock", SLUG),
        [create("Book", {"slug": "a"})],
        goes=[call("stock", "a")],
        stays=[call("stock", "b"), call("by_slug", "a")],
    ),
    Scenario(
        "a_nested_function_has_its_outer_one_in_the_key",
        cached("books.outer.<locals>.inner", SLUG),
        [create("Book", {"slug": "a"})],
        goes=[call("nested", "a")],
        stays=[call("nested", "b"), call("by_slug", "a")],
    ),
    Scenario("truth_is_a_word", **anything(True, True, "true")),
    Scenario("nothing_is_null", **anything(None, None, "None")),
    Scenario("a_float_keeps_its_point", **anything(1.0, 1.0, 1)),
    Scenario("a_decimal_keeps_its_zeros", **anything("1.50", Decimal("1.50"), Decimal("1.5"), "decimal")),
    Scenario(
        "a_date_with_a_time_has_a_t",
        **anything("2024-01-02 12:00:00.678901+00", NOON, NOON.replace(microsecond=0), "datetime"),
    ),
    Scenario(
        "the_event_declares_a_type",
        **anything("2024-01-02", date(2024, 1, 2), date(2024, 1, 3), types={"value": "date"}),
    ),
    Scenario("a_uuid_has_hyphens", **anything(ID.replace("-", ""), UUID(ID), ID.replace("-", ""), "uuid")),
    Scenario("a_list_is_joined", **anything([2, None, "a"], [2, None, "a"], [None, 2, "a"], "list")),
    Scenario(
        "a_list_may_be_sorted",
        **anything([10, 9], [9, 10], [9, 1], "list", "in_order", {"sort_lists": True}),
    ),
    Scenario("a_dictionary_is_sorted", **anything({"b": 1, "a": [1]}, {"a": [1], "b": 1}, {"a": 1}, "dict")),
    Scenario("a_field_may_be_hashed", **anything("secret", "secret", "other", function="hashed", field={"hash_value": True})),
    Scenario(
        "so_may_every_level_of_it",
        **anything({"a": [1, 2]}, {"a": [1, 2]}, {"a": [2, 1]}, "dict", "hashed", {"hash_value": True}),
    ),
    Scenario(
        "another_digest_is_declared",
        cached(
            "books.hashed",
            {"value": {"args": "value", "partition": True, "hash_value": True}},
            library={"key_hash_algorithm": "md5"},
        ),
        [create("Book", {"value": "secret"})],
        goes=[call("hashed", "secret")],
        stays=[call("hashed", "other")],
        settings={"algorithm": "md5"},
    ),
    Scenario(
        "what_stands_behind_a_hashed_field_is_searched",
        cached(
            "books.hashed_parts",
            {"parts": {"args": ["a", "b"], "hash_value": True, "partition": True}, "page": {"args": "page"}},
            map={"page": "page"},
        ),
        [create("Book", {"page": 3})],
        goes=[call("hashed_parts", 1, 2, 3), call("hashed_parts", 4, 5, 3)],
        stays=[call("hashed_parts", 1, 2, 33), call("hashed_parts", 3, 3, 1)],
    ),
    Scenario(
        "a_value_behind_a_path_is_a_column_behind_it",
        cached("books.by_country", {"value": {"args": "value", "path": "country.code", "partition": True}}),
        [create("Book", {"value": {"country": {"code": "de"}}})],
        goes=[call("by_country", {"id": 1, "country": {"code": "de"}})],
        stays=[call("by_country", {"id": 1, "country": {"code": "fr"}})],
    ),
    Scenario(
        "what_a_normalizer_returns_is_mapped",
        cached("books.by_author", {"value": {"args": "value", "partition": True}}, map={"value": "author_id"}),
        [create("Book", {"author_id": 5})],
        goes=[call("by_author", {"id": 5})],
        stays=[call("by_author", {"id": 55})],
    ),
    Scenario(
        "a_long_suffix_is_a_digest",
        cached(
            "books.search",
            {"book": BOOK, "text": {"args": "text"}},
            library={"hash_suffix_on_overflow": True, "max_key_suffix_length": 20},
        ),
        [create("Book", {"book_id": 1, "text": text}) for text in ("x" * 15, "é" * 16)],
        goes=[call("search", 1, "x" * 15), call("search", 1, "é" * 16)],
        stays=[call("search", 1, "x" * 16), call("search", 2, "x" * 15)],
    ),
    Scenario(
        "a_partition_goes_with_its_digests",
        cached(
            "books.search",
            {"book": BOOK, "text": {"args": "text"}},
            library={"hash_suffix_on_overflow": True, "max_key_suffix_length": 20},
            map={"book_id": "book_id"},
        ),
        [create("Book", {"book_id": 1})],
        goes=[call("search", 1, "x"), call("search", 1, "x" * 99)],
        stays=[call("search", 2, "x"), call("search", 11, "x" * 99)],
    ),
    Scenario(
        "a_serializer_s_shape_is_searched",
        cached("books.shaped", {"a_shape": {"any": True, "hash_value": True}, "book": {"args": "book_id"}}),
        [create("Book", {"book_id": 1})],
        goes=[call("shaped", 1)],
        stays=[call("shaped", 11), call("shaped", 2)],
    ),
    Scenario(
        "a_view_goes_with_every_query",
        cached(
            "books.BookView.get",
            {"path_params": {"args": "pk", "partition": True}, "query_params": {"any": True, "hash_value": True}},
            library={"namespace": "ResponseCache"},
            map={"pk": "id"},
        ),
        [update("Book", {"id": 42}, {"id": 42})],
        goes=[call("book_view", 42), call("book_view", 42, page=2), call("book_view", 42, b=[2, 1], a="x")],
        stays=[call("book_view", 420), call("book_view", 4)],
    ),
    Scenario(
        "a_value_of_the_request_is_an_argument",
        cached("books.MineView.get", {"user": {"request": "user.id", "partition": True}, "query": {"any": True}}),
        [create("Book", {"user_id": 9})],
        goes=[call("my_view", 9), call("my_view", 9, page=2)],
        stays=[call("my_view", 99), call("my_view", None)],
    ),
    Scenario(
        "nobody_s_request_is_none",
        cached(
            "books.MineView.get",
            {"user": {"request": "user.id", "partition": True}, "query": {"any": True}},
            nulls="keep",
        ),
        [create("Book", {"user_id": None})],
        goes=[call("my_view", None, page=2)],
        stays=[call("my_view", 9)],
    ),
    Scenario(
        "an_empty_query_goes_with_the_others",
        cached(
            "books.FilteredView.get",
            {"book": {"args": "pk", "partition": True}, "a_lang": LANG, "query": {"any": True}},
        ),
        [create("Book", {"pk": 42, "lang": "de"})],
        goes=[call("filtered_view", 42, "de"), call("filtered_view", 42, "de", page=2)],
        stays=[call("filtered_view", 42, "de-AT"), call("filtered_view", 4, "de")],
    ),
    Scenario(
        "only_changes_that_matter_count",
        by_id(ops=["update", "delete"], changed=["title"], when="after.state == 'published'"),
        [
            create("Book", {"id": 1, "title": "a", "state": "published"}),
            update("Book", {"id": 2, "title": "a", "n": 1}, {"id": 2, "title": "a", "n": 2, "state": "published"}),
            update("Book", {"id": 3, "title": "a"}, {"id": 3, "title": "b", "state": "draft"}),
            update("Book", {"id": 4, "title": "a"}, {"id": 4, "title": "b", "state": "published"}),
        ],
        goes=[call("get_book", 4)],
        stays=[call("get_book", number) for number in (1, 2, 3)],
    ),
    Scenario(
        "a_null_means_nothing_unless_it_is_kept",
        by_id(),
        [update("Book", {"id": 3}, {"id": None})],
        goes=[call("get_book", 3)],
        stays=[call("get_book", None)],
    ),
    Scenario(
        "a_command_names_the_call",
        by_id(),
        [{"invalidate": {"cache": "$cache", "args": {"book_id": 42}}}],
        goes=[call("get_book", 42), call("get_book", 42, "de")],
        stays=[call("get_book", 43)],
    ),
    Scenario(
        "what_is_not_known_is_refused",
        anything("", "", "", "decimal")["cache"],
        [create("Row", {"value": 1.5}), create("Row", {"value": 2.5})],
        stays=[call("anything", Decimal("1.50"))],
        refused="zeros are lost",
    ),
]
