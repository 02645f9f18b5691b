"""What ArgCache keeps, and what Quash removes of it: every scenario in every layout that the keys of a release have."""

from datetime import date, datetime
from decimal import Decimal

from harness.scenario import Scenario, call, create, delete, truncate, update

VENV = "django5"
BACKENDS = ["django", "django_redis"]
LAYOUTS = ["raw", "hashed_args", "hashed_all"]

DETAIL = {"function": "app:Book.detail", "params": ["self", "lang"], "partial": [["self"]]}
BOOKS_BY = {"function": "app.books_by", "params": ["author", "publisher"], "partial": [["author"]]}
PAGE = {"function": "app.page", "params": ["author", "lang"], "partial": [["author"]]}
THREE = {"function": "app.three", "params": ["x", "y", "z"], "partial": [["x"], ["y"]]}
CARD = {"inclusion_tag": "app.card", "params": ["book", "size"]}


def on(row, columns=None, **more):
    """A dependency on a row, which says these arguments."""
    return {"row": row, **({} if columns is None else {"map": columns}), **more}


def anything(published, gone, kept, declared=None):
    cache = {"library": {"function": "app.anything", "params": ["value"]}, "on": [on("Row", nulls="keep")]}
    if declared:
        cache["types"] = {"value": declared}
    return {
        "caches": [cache],
        "events": [create("Row", {"value": published})],
        "goes": [call("anything", gone)],
        "stays": [call("anything", kept)],
    }


def scenarios(name, caches, events, layouts=LAYOUTS, **more):
    """The same in every layout."""
    for layout in layouts:
        declared = []
        for cache in caches:
            rest = {key: value for key, value in cache.items() if key not in ("library", "on")}
            library = {"layout": layout, **cache["library"]}
            declared.append({"argcache": library, "depends_on": cache.get("on", []), **rest})
        yield Scenario(f"{name}-{layout}", declared, events, settings={"layout": layout}, **more)


SCENARIOS = [
    *scenarios(
        "a_whole_key_set_is_one_entry",
        [{"library": DETAIL, "on": [on("Book", {"self": "id", "lang": "lang"})]}],
        [update("Book", {"id": 42, "lang": "en"}, {"id": 42, "lang": "en"})],
        goes=[call("book", 42)],
        stays=[call("book", 42, "de"), call("book", 43)],
    ),
    *scenarios(
        "a_token_is_all_its_entries",
        [{"library": DETAIL, "on": [on("Book", {"self": "id"})]}],
        [update("Book", {"id": 42}, {"id": 42})],
        goes=[call("book", 42), call("book", 42, "de")],
        stays=[call("book", 43), call("book", 4), call("book", 420)],
    ),
    *scenarios(
        "a_row_that_moves_goes_on_both_sides",
        [{"library": BOOKS_BY, "on": [on("Book", {"author": "author_id"})]}],
        [update("Book", {"author_id": 3}, {"author_id": 4})],
        goes=[call("books_by", 3, "pub"), call("books_by", 4, "pub"), call("books_by", 4, "other")],
        stays=[call("books_by", 5, "pub")],
    ),
    *scenarios(
        "tokens_are_in_the_order_of_the_parameters",
        [{"library": {"function": "app.pairs", "params": ["a", "b", "c"], "partial": [["b", "a"]]}, "on": [on("Row")]}],
        [create("Row", {"a": 1, "b": 2})],
        goes=[call("pairs", 1, 2, 3), call("pairs", 1, 2, 4)],
        stays=[call("pairs", 2, 1, 3)],
    ),
    *scenarios(
        "what_has_no_token_takes_the_one_that_fits",
        [{"library": THREE, "on": [on("Row", {"x": "x", "z": "z"})]}],
        [create("Row", {"x": 1, "z": 9})],
        goes=[call("three", 1, 5, 9), call("three", 1, 5, 8)],
        stays=[call("three", 2, 5, 9)],
    ),
    *scenarios(
        "what_fits_two_tokens_takes_the_later",
        [{"library": THREE, "on": [on("Row", {"x": "x", "y": "y"})]}],
        [create("Row", {"x": 1, "y": 2})],
        goes=[call("three", 1, 2, 3), call("three", 7, 2, 3)],
        stays=[call("three", 1, 5, 3)],
    ),
    *scenarios(
        "what_fits_no_token_takes_the_function",
        [{"library": THREE, "on": [on("Row", {"z": "z"})]}],
        [create("Row", {"z": 9})],
        goes=[call("three", 1, 2, 9), call("three", 4, 5, 6)],
        stays=[call("pairs", 1, 2, 3)],
    ),
    *scenarios(
        "a_token_over_everything_is_the_entry",
        [
            {
                "library": {"function": "app.whole", "params": ["x", "y"], "partial": [["x", "y"], ["x"]]},
                "on": [on("Row")],
            }
        ],
        [create("Row", {"x": 1, "y": 2})],
        goes=[call("whole", 1, 2)],
        stays=[call("whole", 1, 3)],
    ),
    *scenarios(
        "a_function_without_parameters_goes_by_its_token",
        [{"library": {"function": "app.total"}, "on": [on("Row")]}],
        [delete("Row", {"id": 1})],
        goes=[call("total")],
        stays=[call("other_total")],
    ),
    *scenarios(
        "a_relation_names_both_ends",
        [
            {
                "library": {"function": "app.tagged", "params": ["book", "tag"]},
                "on": [{"m2m": "Book.tags", "map": {"book": "from.id", "tag": "to.id"}}],
            }
        ],
        [{"entity": "Book", "op": "remove", "relation": "tags", "from": {"id": 1}, "to": [{"id": 8}, {"id": 9}]}],
        goes=[call("tagged", 1, 8), call("tagged", 1, 9)],
        stays=[call("tagged", 1, 7), call("tagged", 2, 8)],
    ),
    *scenarios(
        "a_cleared_relation_takes_all_of_one_end",
        [
            {
                "library": {"function": "app.tagged", "params": ["book", "tag"], "partial": []},
                "on": [{"m2m": "Book.tags", "map": {"book": "from.id", "tag": "to.id"}}],
            }
        ],
        [{"entity": "Book", "op": "clear", "relation": "tags", "from": {"id": 1}}],
        goes=[call("tagged", 1, 8), call("tagged", 1, 9), call("tagged", 2, 8)],
        stays=[call("total")],
    ),
    *scenarios(
        "what_depends_on_a_cache_goes_with_it",
        [
            {"library": PAGE, "on": [{"cache": "$cache1", "map": {"author": "author"}}]},
            {"library": BOOKS_BY, "on": [on("Book", {"author": "author_id", "publisher": "publisher"})]},
        ],
        [create("Book", {"author_id": 3, "publisher": "pub"})],
        goes=[call("books_by", 3, "pub"), call("page", 3, "en"), call("page", 3, "de")],
        stays=[call("books_by", 3, "other"), call("page", 4, "en")],
    ),
    *scenarios(
        "a_row_may_say_several_key_sets_and_constants",
        [
            {
                "library": BOOKS_BY,
                "on": [on("Row", [{"author": "a", "publisher": {"value": "pub"}}, {"author": "b"}])],
            }
        ],
        [create("Row", {"a": 1, "b": 2})],
        goes=[call("books_by", 1, "pub"), call("books_by", 2, "x")],
        stays=[call("books_by", 1, "x"), call("books_by", 3, "pub")],
    ),
    *scenarios(
        "a_condition_sees_both_images",
        [{"library": BOOKS_BY, "on": [on("Book", {"author": "author"}, when="before.shown == true || after.shown == true")]}],
        [
            update("Book", {"author": 1, "shown": True}, {"author": 1, "shown": False}),
            update("Book", {"author": 2, "shown": False}, {"author": 2, "shown": False}),
            create("Book", {"author": 3, "shown": True}),
            create("Book", {"author": 4, "shown": False}),
        ],
        goes=[call("books_by", 1, "pub"), call("books_by", 3, "pub")],
        stays=[call("books_by", 2, "pub"), call("books_by", 4, "pub")],
    ),
    *scenarios(
        "a_path_leads_through_joined_rows",
        [{"library": PAGE, "on": [on("Review", {"author": "book.author.id"})]}],
        [create("Review", {"id": 1, "book": {"id": 2, "author": {"id": 3}}})],
        goes=[call("page", 3, "en")],
        stays=[call("page", 2, "en")],
    ),
    *scenarios("a_list_is_taken_apart", **anything([1, "a", [2]], [1, "a", [2]], [1, "a", 2], "list")),
    *scenarios("a_tuple_is_printed", **anything([1, "a"], (1, "a"), [1, "a"], "tuple")),
    *scenarios("a_dict_is_printed_in_its_order", **anything({"b": 1, "a": 2}, {"b": 1, "a": 2}, {"a": 2, "b": 1}, "dict")),
    *scenarios("nothing_is_a_word", **anything(None, None, "null")),
    *scenarios("a_decimal_keeps_its_zeros", **anything("1.10", Decimal("1.10"), Decimal("1.1"), "decimal")),
    *scenarios("a_date_is_a_date", **anything("2024-01-02", date(2024, 1, 2), date(2024, 1, 3), "date")),
    *scenarios(
        "a_date_with_a_time_has_a_space",
        **anything("2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05", "datetime"),
    ),
    *scenarios(
        "a_decimal_as_a_number_is_refused",
        anything(1.5, 0, 0, "decimal")["caches"],
        [create("Row", {"value": 1.5})],
        stays=[call("anything", Decimal("1.50"))],
        refused="zeros are lost",
    ),
    *scenarios(
        "few_values_are_enumerated",
        [
            {
                "library": {**THREE, "partial": [["x"]]},
                "on": [on("Row", {"x": "x", "y": "y"})],
                "values": {"z": [8, 9]},
            }
        ],
        [create("Row", {"x": 1, "y": 2})],
        # The token that the code makes besides is none that Quash needs.
        goes=[call("three", 1, 2, 8), call("three", 1, 2, 9)],
        stays=[call("three", 1, 2, 7), call("three", 1, 3, 8)],
    ),
    *scenarios(
        "an_extra_name_is_part_of_the_name",
        [{"library": {"function": "app.named", "extra_name": "*again", "params": ["a"]}, "on": [on("Row")]}],
        [create("Row", {"a": 1})],
        goes=[call("named", 1)],
        stays=[call("named", 2)],
    ),
    *scenarios(
        "a_rendered_tag_goes_by_all_its_arguments",
        [{"library": CARD, "on": [on("Book", {"book": "id", "size": "size"})]}],
        [create("Book", {"id": 1, "size": "s"})],
        goes=[call("card", 1, "s"), call("card", 1, "s", autoescape=False)],
        stays=[call("card", 1, "m"), call("card", 2, "s")],
    ),
    *scenarios(
        "a_rendered_tag_of_which_less_is_known_goes_whole",
        [{"library": CARD, "on": [on("Book", {"book": "id"})]}],
        [create("Book", {"id": 1})],
        goes=[call("card", 1, "s"), call("card", 2, "m")],
        stays=[call("total")],
    ),
    *scenarios(
        "a_truncate_takes_the_function",
        [{"library": BOOKS_BY, "on": [on("Book", {"author": "author_id"})]}],
        [truncate("Book")],
        goes=[call("books_by", 3, "pub"), call("books_by", 4, "pub")],
        stays=[call("page", 3, "en")],
    ),
    *scenarios(
        "a_command_names_the_arguments",
        [{"library": BOOKS_BY}],
        [{"invalidate": {"cache": "$cache", "args": {"author": 3}}}],
        goes=[call("books_by", 3, "pub")],
        stays=[call("books_by", 4, "pub")],
    ),
    *scenarios(
        "two_versions_and_prefixes_go_at_once",
        [
            {
                "library": BOOKS_BY,
                "on": [on("Book", {"author": "author"})],
                "key_format": {"django": {"prefix": ["$prefix", "$prefix-old"], "version": [1, 2]}},
            }
        ],
        [create("Book", {"author": 3})],
        goes=[call("books_by", 3, "pub").behind(version=2), call("books_by", 3, "pub").behind("-old")],
        stays=[call("books_by", 3, "pub").behind(version=3), call("books_by", 3, "pub").behind("-new")],
    ),
    *scenarios(
        "two_layouts_go_while_a_deployment_rolls_over",
        [{"library": {**BOOKS_BY, "layout": ["raw", "hashed_args"]}, "on": [on("Book", {"author": "author"})]}],
        [create("Book", {"author": 3})],
        layouts=["raw"],
        goes=[call("in_layout", "raw", 3, "pub"), call("in_layout", "hashed_args", 3, "pub")],
        stays=[call("in_layout", "hashed_all", 3, "pub"), call("in_layout", "hashed_args", 4, "pub")],
    ),
    *scenarios(
        "text_is_searched_where_that_is_said",
        [{"library": {**THREE, "scan": True}, "on": [on("Row", {"z": "z"})]}],
        [create("Row", {"z": "n*"})],
        layouts=["raw"],
        goes=[call("three", 1, 2, "n*"), call("three", 4, 5, "n*")],
        stays=[call("three", 1, 2, "nn"), call("three", 4, 5, 6)],
    ),
]
