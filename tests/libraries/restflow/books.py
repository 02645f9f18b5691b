"""Functions and views that restflow caches, one for each way to spell a key."""

import sys
from importlib import import_module
from types import SimpleNamespace

from django.core.cache import cache
from harness import ROOT
from harness.play import computed
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from restflow.caching import (
    ArgsKeyField,
    ConstantKeyField,
    DrfSerializerKeyField,
    InlineKeyConstructor,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    cache_response,
    cache_result,
)


class BookKey(KeyConstructor):
    book = ArgsKeyField("book_id", partition=True)
    lang = ArgsKeyField("lang")

    class Meta:
        namespace = "books"


@cache_result(BookKey)
def get_book(book_id, lang="en"):
    return computed(1)


@cache_result(BookKey)
def get_book_reviews(book_id, lang="en"):
    return computed(1)


class SlugKey(KeyConstructor):
    slug = ArgsKeyField("slug", partition=True)


@cache_result(SlugKey)
def by_slug(slug):
    return computed(1)


class CatalogKey(KeyConstructor):
    zeta = ArgsKeyField("author_id", partition=True)
    alpha = ArgsKeyField("status", partition=True)
    n = ArgsKeyField("n")
    schema = ConstantKeyField("schema", 7)

    class Meta:
        version = 3
        namespace = "cat"


@cache_result(CatalogKey)
def catalog(author_id, status, n=1):
    return computed(1)


def catalog_of(version):
    """The same function in other releases of the application."""

    class Key(CatalogKey):
        class Meta:
            namespace = "cat"

    Key._meta.version = version

    def catalog(author_id, status, n=1):
        return computed(1)

    catalog.__qualname__ = "catalog"
    return cache_result(Key)(catalog)


catalog_1, catalog_2 = catalog_of(1), catalog_of(2)


@cache_result()
def everything(a, b=2):
    return computed(1)


@cache_result(InlineKeyConstructor({}, key_identifier="front"))
def bare():
    return computed(1)


def one(**options):
    """A function of one argument, which is the partition."""
    fields = {"value": ArgsKeyField("value", partition=True, **options)}

    def decorate(function):
        return cache_result(InlineKeyConstructor(fields))(function)

    return decorate


@one()
def anything(value):
    return computed(1)


@one(hash_value=True)
def hashed(value):
    return computed(1)


@one(sort_lists=True)
def in_order(value):
    return computed(1)


@one(path="country.code")
def by_country(value):
    return computed(1)


@one(normalizer=lambda author: author["id"])
def by_author(value):
    return computed(1)


class PartsKey(KeyConstructor):
    book = ArgsKeyField("book_id", partition=True)
    parts = ArgsKeyField(["a", "b"])


@cache_result(PartsKey)
def parts(book_id, a, b):
    return computed(1)


class HashedPartsKey(KeyConstructor):
    parts = ArgsKeyField(["a", "b"], hash_value=True, partition=True)
    page = ArgsKeyField("page")


@cache_result(HashedPartsKey)
def hashed_parts(a, b, page):
    return computed(1)


class LongKey(KeyConstructor):
    book = ArgsKeyField("book_id", partition=True)
    text = ArgsKeyField("text")

    class Meta:
        hash_suffix_on_overflow = True
        max_key_suffix_length = 20


@cache_result(LongKey)
def search(book_id, text):
    return computed(1)


class BookSerializer(serializers.Serializer):
    title = serializers.CharField()


class ShapeKey(KeyConstructor):
    a_shape = DrfSerializerKeyField(BookSerializer)
    book = ArgsKeyField("book_id")


@cache_result(ShapeKey)
def shaped(book_id):
    return computed(1)


class Shop:
    @cache_result(SlugKey)
    def stock(self, slug):
        return computed(1)


def stock(slug):
    return Shop().stock(slug)


def outer():
    @cache_result(SlugKey)
    def inner(slug):
        return computed(1)

    return inner


nested = outer()


class BookView(APIView):
    renderer_classes = [JSONRenderer]
    authentication_classes = permission_classes = []

    @cache_response()
    def get(self, request, pk):
        return Response(computed(1))


class MineKey(KeyConstructor):
    user = RequestValueKeyField("user.id", partition=True)
    query = QueryParamsKeyField("*")


class MineView(BookView):
    @cache_response(MineKey)
    def get(self, request, pk):
        return Response(computed(1))


class FilteredKey(KeyConstructor):
    book = ArgsKeyField("pk", partition=True)
    a_lang = ArgsKeyField("lang")
    query = QueryParamsKeyField(["page"])


class FilteredView(BookView):
    @cache_response(FilteredKey)
    def get(self, request, pk, lang):
        return Response(computed(1))


def asked(view, query, user=None, **kwargs):
    """A request that passed the middleware, as a view sees it."""
    request = APIRequestFactory().get("/", query)
    request.user = SimpleNamespace(id=user, is_authenticated=True)
    request._force_auth_user = request.user
    return view.as_view()(request, **kwargs)


def book_view(pk, **query):
    return asked(BookView, query, pk=pk)


def my_view(user, **query):
    return asked(MineView, query, user, pk=1)


def filtered_view(pk, lang, **query):
    return asked(FilteredView, query, pk=pk, lang=lang)


def release(pinned):
    """The library in another release, beside this one."""
    own = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "restflow"}
    sys.path.insert(0, str(ROOT / f"target/tools/releases/drf-restflow=={pinned}"))
    library = import_module("restflow.caching")
    sys.path.pop(0)
    for name in [name for name in sys.modules if name.split(".")[0] == "restflow"]:
        del sys.modules[name]
    sys.modules.update(own)
    return library


before = release("1.1.0")


def in_release_before(function, **fields):
    """The same function, decorated by the release before."""
    key = before.InlineKeyConstructor({name: before.ArgsKeyField(**field) for name, field in fields.items()})
    return before.cache_result(key)(function.func)


by_slug_before = in_release_before(by_slug, slug={"arguments": "slug", "partition": True})
everything_before = in_release_before(everything, arguments={"arguments": "*"})


def stranger(key):
    """What somebody else keeps on the same alias."""
    return cache.get_or_set(key, lambda: computed(1), 600)
