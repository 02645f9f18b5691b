"""Configures the shop on PostgreSQL, django-redis and drf-restflow, where that runs; says what it publishes."""

import os

import django

SECRET_KEY = "of the tests"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# It stands on Django REST framework, of which no current release supports Django 4.2.
HAS_RESTFLOW = django.VERSION >= (5,)
INSTALLED_APPS = ["shop", "front", "quash.django"] + ["rest_framework", "restflow.caching"] * HAS_RESTFLOW
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ["SHOP_POSTGRES_PORT"],
        "USER": "postgres",
        "NAME": "postgres",
    }
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ["CACHE_URL"],
        "KEY_PREFIX": "shop",
        "TIMEOUT": 3600,
    }
}
QUASH = {
    "url": os.environ["REDIS_URL"],
    "models": {
        "shop.Author": ["name", "country_id"],
        "shop.Book": ["author_id", "state", "price", "published_at", "author.country_id", "tags.slug"],
        "shop.Note": ["book_id"],
        "shop.Tag": ["slug"],
    },
    "on_failure": "raise",
    # A machine that compiles beside the tests is slow; what 250 ms mean is tested with the client.
    "timeout": 10.0,
}
