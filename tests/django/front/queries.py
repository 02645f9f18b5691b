"""Asks the database for what the pages show, and counts how often."""

from shop.models import Author, Book, Country

computations = 0


def counted(function):
    """The same, counted."""

    def count(*args):
        global computations
        computations += 1
        return function(*args)

    return count


def book(book_id):
    rows = Book.objects.filter(pk=book_id)
    return [
        list(rows.values_list("title", "price", "state")),
        sorted(rows.filter(tags__isnull=False).values_list("tags__slug", flat=True)),
        sorted(rows.filter(note__isnull=False).values_list("note__text", flat=True)),
    ]


def author(author_id, number=1):
    names = list(Author.objects.filter(pk=author_id).values_list("name", flat=True))
    return [number, names, sorted(Book.objects.filter(author_id=author_id).values_list("title", flat=True))]


def country(country_id):
    return books(author__country_id=country_id)


def tag(slug):
    return books(tags__slug=slug)


def state(name):
    return books(state=name)


def price(amount):
    return books(price=amount)


def moment(published_at):
    return books(published_at=published_at)


def atlas(country_id, number=1):
    return [number, flag(country_id)]


def flag(country_id):
    return list(Country.objects.filter(pk=country_id).values_list("code", flat=True))


def books(**where):
    return sorted(Book.objects.filter(**where).values_list("pk", flat=True))
