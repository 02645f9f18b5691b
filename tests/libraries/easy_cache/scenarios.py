"""What easy-cache keeps, and what Quash removes of it."""

from datetime import date, datetime, timezone
from decimal import Decimal
from uuid import UUID

from harness.scenario import Scenario, call, create, delete, truncate, update

VENV = "django5"
BACKENDS = ["django", "django_redis", "instance"]
ON_DJANGO = ("django", "django_redis")

ID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
NOON = datetime(2024, 1, 2, 12, 0, 0, 678901, tzinfo=timezone.utc)


def keep(declared, *dependencies, **more):
    """A cache of easy-cache; a dependency is on `Row` unless it says otherwise."""
    dependencies = [{"row": "Row", **dependency} for dependency in dependencies or [{}]]
    return {"easy_cache": declared, "depends_on": dependencies, **more}


def value(published, gone, kept, declared=None, function="anything", **event):
    """The value that is published is that of the first call, and not of the second."""
    key = {"key": "value:{value}"} if function == "anything" else {"function": f"app.{function}", "args": ["value"]}
    types = {"types": {"value": declared}} if declared else {}
    return {
        "cache": keep(key, {"nulls": "keep"}, **types),
        "events": [create("Row", {"value": published}, **event)],
        "goes": [call(function, gone)],
        "stays": [call(function, kept)],
    }


def delimited(name, backends, **more):
    return Scenario(
        name,
        keep({"key": ["a", "b"], "prefix": "other:{a}", "delimiter": "/", "tag_prefix": "T"}, **more),
        [create("Row", {"a": 1, "b": 2}), create("Row", {"a": 3})],
        goes=[call("delimited", 1, 2), call("delimited", 3, 1), call("delimited", 3, 2)],
        stays=[call("delimited", 1, 3), call("delimited", 4, 1)],
        backends=backends,
        settings={"delimiter": "/", "tag_prefix": "T"},
    )


STATES = {"key": "users_by_state:{state}", "tags": ["users_by_states"]}
BOTH = {"key": "key:{a}:value:{c}", "tags": ["tag:{a}"], "prefix": "pre:{b}"}
GOODS = {"key": "goods:{shop}:{page}:list"}
CATALOG = {"key": "catalog:{page}", "tags": ["book:{book}"]}

SCENARIOS = [
    # --- keys
    Scenario(
        "a_template_goes",
        keep({"key": "time_consuming_operation_{n}"}),
        [create("Row", {"n": 10})],
        goes=[call("op", 10)],
        stays=[call("op", 1), call("op", 100)],
    ),
    Scenario(
        "a_move_takes_both_sides",
        keep({"key": "time_consuming_operation_{n}"}),
        [update("Row", {"n": 1}, {"n": 2})],
        goes=[call("op", 1), call("op", 2)],
        stays=[call("op", 3)],
    ),
    Scenario(
        "formats_are_those_of_python",
        keep({"key": "n:{n:04d}:{price:.2f}:{day:%Y-%m-%d}:{name!r}"}, types={"price": "decimal", "day": "date"}),
        [create("Row", {"n": 7, "price": "1.5", "day": "2024-01-02", "name": "it's"})],
        goes=[call("formatted", 7, Decimal("1.5"), date(2024, 1, 2), "it's")],
        stays=[
            call("formatted", 7, Decimal("1.51"), date(2024, 1, 2), "it's"),
            call("formatted", 7, Decimal("1.5"), date(2024, 1, 3), "it's"),
        ],
    ),
    Scenario(
        "a_list_of_names_is_joined",
        keep({"key": ["a", "b"]}, types={"b": "bytes"}),
        [create("Row", {"a": "x", "b": "byé"})],
        goes=[call("listed", "x", "byé".encode())],
        stays=[call("listed", "x", "byé"), call("listed", "y", "byé".encode())],
    ),
    Scenario(
        "a_function_without_a_key_has_its_path",
        keep({"function": "app.auto", "args": ["a", "b"]}),
        [create("Row", {"a": 1, "b": 5})],
        goes=[call("auto", 1)],
        stays=[call("auto", 1, 6), call("auto", 2), call("auto", 1, 5, 9)],
    ),
    Scenario(
        "every_argument_is_in_the_path",
        keep({"function": "app.auto", "args": ["a", "b", "c"], "kwargs": ["z", "y"]}),
        [create("Row", {"a": 1, "b": 2, "c": 3, "z": 9, "y": 8})],
        goes=[call("auto", 1, 2, 3, z=9, y=8)],
        stays=[call("auto", 1, 2, 3, 9, 8), call("auto", 1, 2, 3)],
    ),
    Scenario(
        "every_declared_way_to_call_goes",
        keep({"function": "app.sorted_names", "calls": [{"args": ["z", "a"]}, {"kwargs": ["z", "a"]}]}),
        [create("Row", {"z": 1, "a": 2})],
        goes=[call("sorted_names", 1, 2), call("sorted_names", z=1, a=2)],
        stays=[call("sorted_names", 1), call("sorted_names", 3, 2)],
    ),
    Scenario(
        "methods_leave_their_object_out",
        keep({"function": "app.User.rank", "args": ["board", "year"]}),
        [create("Row", {"board": 3, "year": 2024})],
        goes=[call("rank", 1, 3)],
        stays=[call("rank", 1, 4), call("admin_rank", 1, 3)],
    ),
    Scenario(
        "every_class_of_a_method_goes",
        keep({"function": ["app.User.rank", "app.Admin.rank"], "args": ["board", "year"]}),
        [create("Row", {"board": 3, "year": 2024})],
        goes=[call("rank", 1, 3), call("admin_rank", 1, 3)],
        stays=[call("rank", 1, 4), call("admin_rank", 1, 4)],
    ),
    Scenario(
        "an_attribute_of_self_is_a_column",
        keep({"key": "{self.id}:friends_count"}),
        [update("Row", {"id": 4, "name": "a"}, {"id": 4, "name": "b"})],
        goes=[call("friends", 4)],
        stays=[call("friends", 5), call("friends", 44)],
    ),
    Scenario(
        "a_path_is_followed_into_the_row",
        keep({"key": "owned:{user.owner.name}:{kwargs[page]}"}),
        [create("Row", {"user": {"owner": {"name": "Ann"}}, "page": 1})],
        goes=[call("path", "Ann", 1)],
        stays=[call("path", "Ann", 2), call("path", "Bob", 1)],
    ),
    Scenario(
        "a_property_without_a_key_is_one_for_all",
        keep({"function": "app.User.shared"}),
        [create("Row", {"id": 1})],
        goes=[call("shared", 1)],
        stays=[call("friends", 1)],
    ),
    Scenario(
        "a_class_method_has_its_class",
        keep({"function": "app.User.count", "args": ["state"]}),
        [create("Row", {"state": "new"})],
        goes=[call("count", "new")],
        stays=[call("count", "old")],
    ),
    Scenario(
        "a_static_method_has_its_template",
        keep({"key": "static:{state}"}),
        [create("Row", {"state": "new"})],
        goes=[call("static", "new")],
        stays=[call("static", "old")],
    ),
    Scenario(
        "what_a_callable_returns_is_written_by_hand",
        keep({"key": "meta:{id}"}),
        [create("Row", {"id": 4})],
        goes=[call("by_meta_of", 4)],
        stays=[call("by_meta_of", 5)],
    ),
    delimited("another_delimiter_and_tag_prefix", backends=ON_DJANGO),
    # The instance puts the same delimiter behind its own prefix.
    delimited(
        "another_delimiter_of_an_instance",
        backends=("instance",),
        key_format={"prefixed": {"prefix": "$prefix", "delimiter": "/"}},
    ),
    # --- text of values
    Scenario("truth_is_a_word", **value(True, True, "true")),
    Scenario("nothing_is_a_word", **value(None, None, "null")),
    Scenario("a_float_keeps_its_point", **value(1.0, 1.0, 1)),
    Scenario("a_decimal_keeps_its_zeros", **value("1.50", Decimal("1.50"), Decimal("1.5"), "decimal")),
    Scenario(
        "a_date_with_a_time_has_a_space",
        **value("2024-01-02 12:00:00.678901+00:00", NOON, NOON.replace(microsecond=0), "datetime"),
    ),
    Scenario("the_event_declares_a_type", **value(ID.replace("-", ""), UUID(ID), "x", types={"value": "uuid"})),
    Scenario("a_list_is_one_value", **value([1, "a"], [1, "a"], [1], "list")),
    Scenario("bytes_are_printed_in_templates", **value("byé", "byé".encode(), "byé", "bytes")),
    Scenario("bytes_are_decoded_in_paths", **value("byé", "byé".encode(), b"by", "bytes", "alone")),
    Scenario(
        "a_decimal_as_a_number_is_refused",
        keep({"key": "value:{value}"}, types={"value": "decimal"}),
        [create("Row", {"value": 1.5})],
        stays=[call("anything", Decimal("1.5")), call("anything", Decimal("1.50"))],
        refused="zeros are lost",
    ),
    # --- tags and prefixes
    Scenario(
        "a_tag_takes_all_its_entries",
        keep(STATES, {"map": {}}),
        [create("Row", {"id": 1})],
        goes=[call("users_by_state", "active"), call("users_by_state", "new")],
        stays=[call("op", 1), call("both", 1, 2, 3)],
    ),
    Scenario(
        "a_key_that_is_known_leaves_the_tag_alone",
        keep(STATES),
        [create("Row", {"state": "active"})],
        goes=[call("users_by_state", "active")],
        stays=[call("users_by_state", "new")],
    ),
    Scenario(
        "a_tag_with_an_argument_takes_its_own",
        keep(BOTH, {"map": {"a": "a"}}),
        [create("Row", {"a": 10})],
        goes=[call("both", 10, 2, 11), call("both", 10, 3, 12)],
        stays=[call("both", 11, 2, 11), call("both", 1, 2, 3)],
    ),
    Scenario(
        "a_prefix_is_a_tag",
        keep(BOTH, {"map": {"b": "b"}}),
        [update("Row", {"b": 2}, {"b": 3})],
        goes=[call("both", 10, 2, 11), call("both", 11, 3, 12)],
        stays=[call("both", 10, 4, 11), call("both", 10, 22, 11)],
    ),
    Scenario(
        "a_key_behind_a_prefix_goes",
        keep(BOTH),
        [delete("Row", {"a": 10, "b": 2, "c": 11})],
        goes=[call("both", 10, 2, 11)],
        stays=[call("both", 10, 2, 12), call("both", 10, 3, 11)],
    ),
    Scenario(
        "a_tag_from_the_result_takes_what_holds_the_book",
        keep(CATALOG, {"map": {"book": "id"}}),
        [update("Row", {"id": 5, "title": "a"}, {"id": 5, "title": "b"})],
        goes=[call("catalog", 1, [5, 6]), call("catalog", 2, [5])],
        stays=[call("catalog", 3, [6, 55])],
    ),
    Scenario(
        "a_callable_key_goes_by_its_tag",
        keep({"tags": ["own:{a}"]}),
        [create("Row", {"a": 1})],
        goes=[call("callable_key", 1, 2), call("callable_key", 1, 3)],
        stays=[call("callable_key", 2, 2)],
    ),
    Scenario(
        "a_tagged_property_goes_by_its_tag",
        keep({"key": "{self.id}:books", "tags": ["user:{user}:books"]}, {"row": "Book", "map": {"user": "owner"}}),
        [update("Book", {"owner": 4}, {"owner": 5})],
        goes=[call("user_books", 4), call("user_books", 5)],
        stays=[call("user_books", 6), call("friends", 4)],
    ),
    Scenario(
        "a_tag_with_the_prefix_of_tags_has_it_twice",
        keep({"tags": ["tag:book:{n}"]}),
        [create("Row", {"n": 5})],
        goes=[call("readme", 5)],
        stays=[call("readme", 6)],
    ),
    Scenario(
        "a_time_to_live_of_ones_own",
        keep({"tags": ["soon:{n}"], "tag_ttl": "1h"}),
        [create("Row", {"n": 5})],
        goes=[call("tagged_number", 5)],
        stays=[call("tagged_number", 6)],
    ),
    Scenario(
        "every_tag_of_few_values_is_written",
        keep({"key": "{lang}:{page}", "prefix": "site:{lang}"}, {"map": {}}, values={"lang": ["de", "en"]}),
        [create("Row", {"id": 1})],
        goes=[call("site", "de", 1), call("site", "en", 2)],
        stays=[call("site", "fr", 1)],
    ),
    Scenario(
        "a_truncate_takes_the_tag_of_all",
        keep(STATES),
        [truncate("Row")],
        goes=[call("users_by_state", "active"), call("users_by_state", "new")],
        stays=[call("op", 1)],
    ),
    # --- searches
    Scenario(
        "a_gap_in_the_middle_is_searched",
        keep(GOODS, {"map": {"shop": "shop"}}),
        [create("Row", {"shop": "a*"})],
        goes=[call("goods", "a*", 1), call("goods", "a*", "x:y")],
        stays=[call("goods", "ab", 1), call("goods", "b", 1)],
    ),
    Scenario(
        "a_gap_in_front_is_searched",
        keep(GOODS, {"map": {"page": "page"}}),
        [create("Row", {"page": 2})],
        goes=[call("goods", "a", 2), call("goods", "b", 2)],
        stays=[call("goods", "a", 1), call("goods", "a", 22), call("op", 2)],
    ),
    Scenario(
        "arguments_of_a_path_are_searched",
        keep({"function": "app.auto", "args": ["a", "b"]}, {"map": {"a": "a"}}),
        [create("Row", {"a": 1})],
        goes=[call("auto", 1), call("auto", 1, 2)],
        stays=[call("auto", 11), call("auto", 2), call("sorted_names", 1)],
    ),
    Scenario(
        "every_value_of_an_enumerated_argument_goes",
        keep({"key": ["a", "b"]}, {"map": {"a": "a"}}, values={"b": [1, 2]}),
        [create("Row", {"a": 7})],
        goes=[call("listed", 7, 1), call("listed", 7, 2)],
        stays=[call("listed", 7, 3), call("listed", 8, 1)],
    ),
    # --- aliases and commands
    Scenario(
        "two_versions_and_prefixes_go_at_once",
        keep(STATES, {"map": {}}, key_format={"django": {"prefix": ["$prefix", "$prefix-old"], "version": [1, 2]}}),
        [create("Row", {"id": 1})],
        goes=[
            call("users_by_state", "a"),
            call("users_by_state", "a").behind(version=2),
            call("users_by_state", "a").behind("-old"),
            call("users_by_state", "a").behind("-old", 2),
        ],
        stays=[call("users_by_state", "a").behind(version=3), call("users_by_state", "a").behind("-new")],
        backends=ON_DJANGO,
    ),
    Scenario(
        "two_prefixes_of_an_instance_go_at_once",
        keep(STATES, {"map": {}}, key_format={"prefixed": {"prefix": ["$prefix", "$prefix-old"]}}),
        [create("Row", {"id": 1})],
        goes=[call("users_by_state", "a"), call("users_by_state", "a").behind("-old")],
        stays=[call("users_by_state", "a").behind("-new")],
        backends=("instance",),
    ),
    Scenario(
        "a_command_names_the_arguments",
        keep(BOTH),
        [{"invalidate": {"cache": "$cache", "args": {"a": 10}}}],
        goes=[call("both", 10, 2, 11)],
        stays=[call("both", 11, 2, 11)],
    ),
]
