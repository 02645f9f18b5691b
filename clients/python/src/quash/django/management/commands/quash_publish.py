"""Publishes rows as if they had just changed, for changes that nobody published."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from quash.django import changes, images
from quash.django.conf import conf
from quash.django.tenants import of_tenant
from quash.django.tracked import Tracked, key_fields
from quash.errors import QuashError


class Command(BaseCommand):
    """Reads the rows and publishes an update of each; of one that is gone, its delete."""

    help = "Publishes rows as if they had just changed. Their old values are unknown, so that more may be removed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", help="as shop.Book")
        parser.add_argument("pk", nargs="+", help="primary keys; composite ones as JSON: '[1, \"a\"]'")
        parser.add_argument("--database", default="default")

    def handle(self, *_: Any, model: str, pk: list[str], database: str, **options: Any) -> None:
        one = _tracked(model)
        try:
            keys = [_key(one, key) for key in pk]
        except ValidationError as error:
            raise CommandError(f"{one.entity}: {' '.join(error.messages)}") from error
        except (ValueError, TypeError) as error:
            expected = f"a JSON list of {', '.join(one.keys)}"
            raise CommandError(f"{one.entity}: the key is {expected}: {error}") from error
        rows = images.fetch_keys(one, keys, database)
        documents = [self._event(one, database, key, rows.get(key)) for key in keys]
        try:
            conf().publisher.send(of_tenant(documents, database))
        except QuashError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"published {len(documents)} event{'' if len(documents) == 1 else 's'}")

    def _event(self, one: Tracked, database: str, key: Any, row: images.Image | None) -> dict[str, Any]:
        values = dict(zip(one.keys, key if len(one.keys) > 1 else [key], strict=True))
        known = images.known(key_fields(one.model), values, database)
        if row is None:
            self.stderr.write(f"{one.entity} {key} is not there, its delete is published")
            return changes.event(one, "delete", key=known)
        return changes.event(one, "update", key=known, after=row)


def _key(one: Tracked, text: str) -> Any:
    value = one.model._meta.pk.to_python(text)
    return value if len(one.keys) == 1 else tuple(value)


def _tracked(label: str) -> Tracked:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError) as error:
        raise CommandError(str(error)) from error
    one = conf().models.get(model._meta.concrete_model)
    if one is None:
        raise CommandError(f"QUASH['models'] does not name {model._meta.label}")
    return one
