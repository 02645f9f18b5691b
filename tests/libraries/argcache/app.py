"""An application that keeps results as ArgCache does."""

import writer
from harness import alias
from writer import Model, cache_function

connect, behind = alias.configure, alias.behind


def begin(settings):
    writer.layout = settings["layout"]


class Book(Model):
    pass


@cache_function(tokens=[("self",)], scope="Book.")
def detail(self, lang="en"):
    return f"book {self.id} in {lang}"


def book(number, lang="en"):
    """A method's object is a parameter like any other."""
    return detail(Book(number), lang=lang)


@cache_function(tokens=[("author",)])
def books_by(author, publisher):
    return [author, publisher]


@cache_function(tokens=[("author",)])
def page(author, lang):
    return f"page of {author}"


@cache_function(tokens=[("x",), ("y",)])
def three(x, y, z):
    return x


@cache_function(tokens=[("b", "a")])
def pairs(a, b, c):
    return a


@cache_function(tokens=[("x", "y"), ("x",)])
def whole(x, y):
    return x


@cache_function()
def tagged(book, tag):
    return tag


@cache_function()
def total():
    return None


@cache_function()
def other_total():
    return 2


@cache_function()
def anything(value):
    return 1


@cache_function(extra_name="*again")
def named(a):
    return a


class CachedInclusionNode:
    def __marinade__(self):
        return "<CachedInclusionNode>"


def render_given_args(self, resolved_args, context_attrs):
    return str(resolved_args)


render_given_args.__module__ = "argcache.extras.template"
rendered = writer.CacheFunction(
    render_given_args, [("resolved_args",)], extra_name="*app.card", scope="CachedInclusionNode."
)


def card(*args, autoescape=True):
    return rendered(CachedInclusionNode(), list(args), {"autoescape": autoescape, "use_l10n": None, "use_tz": None})


def in_layout(layout, author, publisher):
    """The same function in a process with another release of the library."""
    before, writer.layout = writer.layout, layout
    try:
        return books_by(author, publisher)
    finally:
        writer.layout = before
