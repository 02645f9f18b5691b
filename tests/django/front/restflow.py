"""Keeps the pages with drf-restflow: most go by the rules of the worker, two by rules in Python that publish."""

from restflow.caching import ArgsKeyField, InvalidationRule, KeyConstructor, cache_result
from shop.models import Country

import quash.django.restflow  # noqa: F401 - registers the dispatcher
from front import queries


def cached(key, **more):
    """As `cache_result`, without rules unless they are said."""
    return cache_result(key_constructor=key, **{"invalidates_on": [], **more})


def renamed(**config):
    """A country was saved or deleted; what goes is published."""
    mapping = {"country_id": "id"}
    return InvalidationRule(model=Country, field_mapping=mapping, dispatcher="quash", dispatcher_config=config)


class BookKey(KeyConstructor):
    book_id = ArgsKeyField("book_id", partition=True)


class AuthorKey(KeyConstructor):
    author_id = ArgsKeyField("author_id", partition=True)
    number = ArgsKeyField("number")

    class Meta:
        namespace = "pages"
        version = 2


class CountryKey(KeyConstructor):
    country_id = ArgsKeyField("country_id", partition=True)


class TagKey(KeyConstructor):
    slug = ArgsKeyField("slug", partition=True)


class StateKey(KeyConstructor):
    name = ArgsKeyField("name", partition=True)


class PriceKey(KeyConstructor):
    amount = ArgsKeyField("amount", partition=True)


class MomentKey(KeyConstructor):
    published_at = ArgsKeyField("published_at", partition=True)


class AtlasKey(KeyConstructor):
    country_id = ArgsKeyField("country_id", partition=True)
    number = ArgsKeyField("number")

    class Meta:
        namespace = "atlas"
        version = 3


@cached(BookKey)
def book(book_id):
    return queries.counted(queries.book)(book_id)


@cached(AuthorKey)
def author(author_id, number=1):
    return queries.counted(queries.author)(author_id, number)


@cached(CountryKey)
def country(country_id):
    return queries.counted(queries.country)(country_id)


@cached(TagKey)
def tag(slug):
    return queries.counted(queries.tag)(slug)


@cached(StateKey)
def state(name):
    return queries.counted(queries.state)(name)


@cached(PriceKey)
def price(amount):
    return queries.counted(queries.price)(amount)


@cached(MomentKey)
def moment(published_at):
    return queries.counted(queries.moment)(published_at)


@cached(AtlasKey, invalidates_on=[renamed(target="keys")])
def atlas(country_id, number=1):
    return queries.counted(queries.atlas)(country_id, number)


@cached(CountryKey, invalidates_on=[renamed(target="main", whole_keys=False)])
def flag(country_id):
    return queries.counted(queries.flag)(country_id)
