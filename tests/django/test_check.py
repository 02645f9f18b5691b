"""Holds what the project publishes to what the worker's rules need, as the built `quash graph` tells it."""

import io

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings
from harness.servers import QUASH


def check(worker, models):
    """What `quash_check` prints of these models, and how it fails."""
    printed = io.StringIO()
    with override_settings(QUASH={**settings.QUASH, "models": models}):
        try:
            call_command("quash_check", quash=str(QUASH), config=[str(worker.config)], stdout=printed, no_color=True)
        except CommandError as error:
            return printed.getvalue(), str(error)
    return printed.getvalue(), ""


def without(model, *names):
    """The project's models, with less of one."""
    models = settings.QUASH["models"]
    return {**models, model: [name for name in models[model] if name not in names]}


def test_what_the_project_publishes_is_all_that_its_rules_need(worker):
    printed, failure = check(worker, settings.QUASH["models"])
    assert printed.splitlines()[-1] == "4 models publish what the rules need"
    assert (failure, "error: " in printed) == ("", False)


@pytest.mark.parametrize(
    ("model", "name", "words"),
    [
        ("shop.Book", "author_id", "shop.Book: rules read its author_id, which is not published"),
        ("shop.Book", "author.country_id", "shop.Book: rules read its author.country_id, which is not published"),
        # Of a condition alone.
        ("shop.Book", "state", "shop.Book: rules read its state, which is not published"),
        ("shop.Book", "tags.slug", "shop.Book.tags: rules read to.slug, which is not published"),
        ("shop.Note", "book_id", "shop.Note: rules read its book_id, which is not published"),
    ],
)
def test_a_column_that_rules_read_and_nobody_publishes_is_named(worker, model, name, words):
    printed, failure = check(worker, without(model, name))
    assert f"error: {words}" in printed.splitlines()
    assert failure == "1 gap between rules and QUASH['models']"


def test_a_column_whose_change_alone_counts_need_not_be_published(worker):
    assert "name" in settings.QUASH["models"]["shop.Author"]
    assert check(worker, without("shop.Author", "name"))[1] == ""


def test_a_model_that_nobody_publishes_is_named(worker):
    models = {label: names for label, names in settings.QUASH["models"].items() if label != "shop.Note"}
    printed, failure = check(worker, models)
    assert "error: shop.Note: rules name it and QUASH['models'] does not" in printed
    assert failure
