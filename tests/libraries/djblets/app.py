"""An application that keeps results with djblets.cache, on several sites."""

import contextlib

from harness import alias
from harness.play import computed

# By id; no row has the last.
SITES = {1: "books.example.com", 2: "news.example.com:8000", 3: None}
SECRET_KEY = "0123456789abcdefSECRETSECRET"

behind = alias.behind


def connect(backend, url):
    alias.configure(
        backend,
        url,
        SECRET_KEY=SECRET_KEY,
        INSTALLED_APPS=["django.contrib.sites"],
        SITE_ID=1,
        USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    from django.contrib.sites.models import Site
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    Site.objects.all().delete()
    for number, domain in SITES.items():
        if domain:
            Site.objects.create(id=number, domain=domain, name=domain)


def begin(given):
    """Starts with these settings alone."""
    from django.conf import settings

    own = ["DJBLETS_CACHE_FORCE_ENCRYPTION", "DJBLETS_CACHE_DEFAULT_ENCRYPTION_KEY", "SITE_ROOT"]
    for name in own:
        with contextlib.suppress(AttributeError):
            delattr(settings, name)
    for name, value in given.items():
        assert name in own
        setattr(settings, name, value)


@contextlib.contextmanager
def on_site(number):
    from django.conf import settings

    settings.SITE_ID = number
    yield
    settings.SITE_ID = 1


def memoize(key, site=1, result=1, **options):
    from djblets.cache.backend import cache_memoize

    with on_site(site):
        return cache_memoize(key, lambda: computed(result), **options)


def stats(user, day=None, site=1):
    return memoize(f"stats:{user}" if day is None else f"stats:{user}:{day}", site)


def by_day(day, user):
    return memoize(f"days:{day}:{user}")


def parts(*parts):
    return memoize(["parts", *parts])


def anything(value):
    return memoize(f"any:{value}")


def formatted(number, name):
    return memoize(["formatted", f"{number:04d}", f"{name!r}"])


def secret(name, lang="en", key=None, digits="", encrypted=True):
    options = {"use_encryption": True} if encrypted else {}
    return memoize(f"secret:{name}:{lang}", encryption_key=key.encode() if key else bytes.fromhex(digits), **options)


def forced(name):
    """Encrypted or not, as the settings say."""
    return memoize(f"forced:{name}")


def locked(name):
    from djblets.protect.locks import CacheLock

    return memoize(["locked", name], lock=CacheLock())


def big(name, key=None):
    """Two chunks."""
    options = {"use_encryption": True, "encryption_key": key.encode()} if key else {}
    return memoize(["big", name], result="x" * 1_500_000, large_data=True, compress_large_data=False, **options)


def chunk(name, number, key=None):
    """A hit while the chunk is there, whoever writes it."""
    from django.core.cache import cache
    from djblets.cache.backend import make_cache_key

    options = {"use_encryption": True, "encryption_key": key.encode()} if key else {}
    return cache.get(make_cache_key(["big", f"{name}-{number}"], **options)) or computed()


def items(name):
    from djblets.cache.backend import cache_memoize_iter

    def each():
        yield computed(1)
        yield 2

    return list(cache_memoize_iter(f"items:{name}", each))


def configuration(number):
    """What a process knows and trusts while the generation stays; it knows its number from run to run."""
    from django.core.cache import cache
    from djblets.cache.synchronizer import GenerationSynchronizer

    generation = GenerationSynchronizer(f"conf:{number}:generation")
    known = cache.get(f"known:{number}")
    if known is not None:
        generation.sync_gen = known
    if known is None or generation.is_expired():
        computed()
        generation.mark_updated()
        generation.refresh()
    cache.set(f"known:{number}", generation.sync_gen)


def attempt(user):
    """A hit where the user is kept out."""
    from djblets.protect.ratelimit import check_rate_limit

    limit = check_rate_limit(rate_limit="1/36500d", key=["login", user], increment_count=True)
    return limit.is_limited or computed()
