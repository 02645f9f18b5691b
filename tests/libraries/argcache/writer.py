"""Writes the entries and tokens of ArgCache, byte for byte, since the library itself is on no package index.

What it does is what the library does to the cache: how keys are spelt in its three layouts, when a token is made, what an
entry holds, and when it counts as a hit. Dependencies, which Quash takes over, are not here.
"""

import functools
import hashlib
import inspect
import random

from harness.play import computed

TOKEN_SECONDS = 86400
layout = "raw"


class Model:
    """Stands for an instance of a model: something with an id."""

    def __init__(self, id):
        self.id = id

    def __repr__(self):
        return f"{type(self).__name__}({self.id})"


def marinade(value):
    """The text of an argument."""
    if isinstance(value, list):
        return f"[{','.join(marinade(item) for item in value)}]"
    if isinstance(value, Model):
        return str(value.id)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__name__}"
    if hasattr(value, "__marinade__"):
        return value.__marinade__()
    return str(value)


def key(name, texts):
    """The key of an entry, and behind `TOKEN__` that of a token."""
    text = ":".join(texts)
    if layout == "hashed_args":
        return f"{name}|{sha256(text)}"
    return f"{name}|{text}" if layout == "raw" else sha256(f"{name}|{text}")


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Token:
    """A number over some parameters, that of an entry's arguments among them."""

    def __init__(self, name, params, chosen):
        self.params = [param for param in params if param in chosen]
        self.name = f"{name}|{':'.join(self.params)}" if chosen else name

    def key(self, given):
        return "TOKEN__" + key(self.name, [marinade(given[param]) for param in self.params])


class CacheFunction:
    """A decorated function. `tokens` are those that the code makes, in its order; the global one is older than all."""

    def __init__(self, function, tokens=(), extra_name="", scope=""):
        self.function = function
        self.params = inspect.getfullargspec(function).args
        self.name = f"{function.__module__}.{scope}{function.__name__}{extra_name}"
        stored = [token for token in tokens if set(token) != set(self.params)]
        self.tokens = [Token(self.name, self.params, chosen) for chosen in [(), *stored]]
        functools.update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        from django.core.cache import cache

        given = inspect.getcallargs(self.function, *args, **kwargs)
        entry = key(self.name, [marinade(given[param]) for param in self.params])
        tokens = [token.key(given) for token in self.tokens]
        found = cache.get_many([entry, *tokens])
        kept = found.get(entry)
        if kept is not None:
            if len(kept) == 1 + len(tokens) and all(
                token in found and found[token] == value for token, value in zip(tokens, kept[1:])
            ):
                return kept[0]
            cache.delete(entry)
        result = computed(self.function(*args, **kwargs))
        cache.set(entry, [result, *self.current(cache, tokens)], timeout=None)
        return result

    def current(self, cache, tokens):
        """What the tokens are, made where there is none."""
        found = cache.get_many(tokens)
        for token in tokens:
            if token not in found:
                cache.add(token, random.randint(0, 1048575), TOKEN_SECONDS)
                found[token] = cache.get(token)
        return [found[token] for token in tokens]


def cache_function(tokens=(), **named):
    return lambda function: CacheFunction(function, tokens, **named)
