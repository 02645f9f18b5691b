"""Sets Django up with one cache alias on Redis, and puts other prefixes and versions before its keys."""

BACKENDS = {
    "django": "django.core.cache.backends.redis.RedisCache",
    "django_redis": "django_redis.cache.RedisCache",
}


def configure(backend, url, **more):
    """Configures Django; `more` are settings."""
    import django
    from django.conf import settings

    settings.configure(CACHES={"default": {"BACKEND": BACKENDS[backend], "LOCATION": url, "TIMEOUT": 3600}}, **more)
    django.setup()


def behind(prefix, version):
    """Puts these before every key from now on, as KEY_PREFIX and VERSION of another deployment would."""
    from django.core.cache import caches

    alias = caches["default"]
    alias.key_prefix, alias.version = prefix, version
