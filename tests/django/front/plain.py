"""Keeps the pages under keys of its own in django-redis, as an application without a caching library does."""

from django.core.cache import cache

from front import queries


def book(book_id):
    return kept(f"book:{book_id}", queries.book, book_id)


def author(author_id, number=1):
    return kept(f"author:{author_id}:{number}", queries.author, author_id, number)


def country(country_id):
    return kept(f"country:{country_id}", queries.country, country_id)


def tag(slug):
    return kept(f"tag:{slug}", queries.tag, slug)


def state(name):
    return kept(f"state:{name}", queries.state, name)


def price(amount):
    return kept(f"price:{amount}", queries.price, amount)


def moment(published_at):
    return kept(f"moment:{published_at.isoformat()}", queries.moment, published_at)


def kept(key, query, *args):
    return cache.get_or_set(key, lambda: queries.counted(query)(*args))
