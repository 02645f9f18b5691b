"""An application that keeps results with easy-cache."""

from easy_cache import create_cache_key, create_tag_cache_key, ecached, ecached_property, meta_accepted
from easy_cache import core
from easy_cache.contrib.redis_cache import RedisCacheInstance
from harness import alias
from harness.play import computed

backend_in_use = None


def connect(backend, url):
    global backend_in_use
    backend_in_use = backend
    if backend != "instance":
        return alias.configure(backend, url)
    import redis

    core.set_global_cache_instance(RedisCacheInstance(redis.Redis.from_url(url)))


def behind(prefix, version):
    if backend_in_use == "instance":
        core.get_default_cache_instance().prefix = prefix
    else:
        alias.behind(prefix, version)


def begin(settings):
    core.set_cache_key_delimiter(settings.get("delimiter", ":"))
    core.set_tag_key_prefix(settings.get("tag_prefix", "tag"))


class Row:
    """An object with attributes, as functions get them."""

    def __init__(self, **columns):
        self.__dict__.update(columns)


@ecached("time_consuming_operation_{n}", 600)
def op(n):
    return computed(55)


@ecached("n:{n:04d}:{price:.2f}:{day:%Y-%m-%d}:{name!r}", 600)
def formatted(n, price, day, name):
    return computed(1)


@ecached("value:{value}", 600)
def anything(value):
    return computed(1)


@ecached(["a", "b"], 600)
def listed(a, b):
    return computed(1)


@ecached(["a", "b"], 600, prefix="other:{a}")
def delimited(a, b):
    return computed(1)


@ecached(timeout=600)
def auto(a, b=5, *args, **kwargs):
    return computed(1)


@ecached(timeout=600)
def alone(value):
    return computed(1)


@ecached(timeout=600)
def sorted_names(z, a=7):
    return computed(1)


@ecached("users_by_state:{state}", 600, tags=["users_by_states"])
def users_by_state(state):
    return computed([state])


@ecached("key:{a}:value:{c}", 600, tags=["tag:{a}"], prefix="pre:{b}")
def both(a, b, c):
    return computed([a, b, c])


def books(meta):
    return [f"book:{book}" for book in meta.returned_value]


@ecached("catalog:{page}", 600, tags=books)
def catalog(page, ids):
    return computed(ids)


@ecached("goods:{shop}:{page}:list", 600)
def goods(shop, page):
    return computed(1)


def own_key(a, b):
    return create_cache_key("own", a * 2, b)


@ecached(own_key, 600, tags=["own:{a}"])
def callable_key(a, b):
    return computed(1)


@meta_accepted
def meta_key(m):
    return create_cache_key("meta", m["user"].id)


@ecached(meta_key, 600)
def by_meta(user):
    return computed(1)


def by_meta_of(user):
    return by_meta(Row(id=user))


@ecached("owned:{user.owner.name}:{kwargs[page]}", 600)
def paths(user, **kwargs):
    return computed(1)


def path(owner, page):
    return paths(Row(owner=Row(name=owner)), page=page)


class User(Row):
    @ecached("{self.id}:friends_count", 600)
    def friends(self):
        return computed(1)

    @ecached(timeout=600)
    def rank(self, board, year=2024):
        return computed(1)

    @ecached_property("{self.id}:books", 600, tags=["user:{self.id}:books"])
    def books(self):
        return computed([self.id])

    @ecached_property(timeout=600)
    def shared(self):
        return computed(1)

    @ecached(timeout=600)
    @classmethod
    def count(cls, state):
        return computed(1)

    @ecached("static:{state}", 600)
    @staticmethod
    def static(state):
        return computed(1)


class Admin(User):
    """Has the methods of users, and entries of its own."""


def friends(user):
    return User(id=user).friends()


def rank(user, *args, **kwargs):
    return User(id=user).rank(*args, **kwargs)


def admin_rank(user, *args):
    return Admin(id=user).rank(*args)


def user_books(user):
    return User(id=user).books


def shared(user):
    return User(id=user).shared


def count(state):
    return User.count(state)


def static(state):
    return User.static(state)


@ecached("{lang}:{page}", 600, prefix="site:{lang}")
def site(lang, page):
    return computed(1)


@ecached("soon:{n}", 600, tags=["soon:{n}"])
def tagged_number(n):
    return computed(n)


@ecached("readme:{n}", 600, tags=[create_tag_cache_key("book", "{n}")])
def readme(n):
    """Its tag is `tag:book:N`, so that the key of the tag is `tag:tag:book:N`."""
    return computed(n)
