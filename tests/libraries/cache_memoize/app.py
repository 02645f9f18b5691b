"""An application that keeps results with django-cache-memoize."""

import functools
import importlib.util

from cache_memoize import cache_memoize
from harness import ROOT, alias
from harness.play import computed

connect, behind = alias.configure, alias.behind


@cache_memoize(600)
def price(product, currency="EUR"):
    return computed(1)


@cache_memoize(600)
def anything(value):
    return computed(1)


@cache_memoize(600, prefix="named")
def prefixed(a):
    return computed(1)


@cache_memoize(600, extra={"version": 2, "site": "ü"})
def versioned(a):
    return computed(1)


def generation(*args, **kwargs):
    from django.core.cache import cache

    return cache.get("gen:reports", 0)


@cache_memoize(600, extra=generation)
def report(text, page):
    return computed(1)


@cache_memoize(600, args_rewrite=lambda user: [user["id"]])
def profile(user):
    return computed(1)


@cache_memoize(600, args_rewrite=lambda email: email)
def mails(email):
    return computed(1)


@cache_memoize(600, store_result=False)
def send(letter):
    return computed(1)


@cache_memoize(600)
def nothing(a):
    return computed(None)


@cache_memoize(600, key_generator_callable=lambda a, b: f"mykey:{a}:{b}")
def own_key(a, b):
    return computed(1)


class Shop:
    """Something with a text of its own, which keys of its methods begin with."""

    def __init__(self, number):
        self.number = number

    def __str__(self):
        return f"Shop({self.number})"

    @cache_memoize(600)
    def stock(self, product):
        return computed(1)


def stock(shop, product):
    return Shop(shop).stock(product)


def outer():
    @cache_memoize(600)
    def inner(a):
        return computed(1)

    return inner


nested = outer()


def stranger(name):
    """What somebody else keeps on the same alias, under a key that is no hash."""
    from django.core.cache import cache

    return cache.get_or_set(f"other:{name}", lambda: computed(1), 600)


@functools.cache
def rolling(release):
    """One function, decorated by an older release of the library."""
    from django.utils import encoding

    # Releases before 0.1.7 use a name that Django has dropped since.
    encoding.force_text = encoding.force_str
    module = ROOT / f"target/tools/releases/django-cache-memoize=={release}/cache_memoize/__init__.py"
    spec = importlib.util.spec_from_file_location(f"cache_memoize_{release}", module)
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    return library.cache_memoize(600)(Rolling.price)


class Rolling:
    @staticmethod
    def price(product, **kwargs):
        return computed(1)


def in_release(release, product, **kwargs):
    return rolling(release)(product, **kwargs)


rolled = cache_memoize(600)(Rolling.price)
