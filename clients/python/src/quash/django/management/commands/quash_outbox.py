"""Relays the events of the outbox to the broker, oldest first."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from quash.django import outbox
from quash.django.conf import conf
from quash.errors import PublishError


class Command(BaseCommand):
    """Runs until it is stopped, or with `--once` until the outbox is empty."""

    help = "Publishes the events of the outbox and removes them. Several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="end when the outbox is empty; fail when the broker is down"
        )
        parser.add_argument("--database", default=None, help="the database of the outbox")
        parser.add_argument("--batch", type=int, default=500, help="events in one batch")
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between looks at an empty outbox")

    def handle(self, *_: Any, once: bool, database: str | None, batch: int, interval: float, **options: Any) -> None:
        using = database or conf().outbox_database or "default"
        verbosity = options["verbosity"]
        while True:
            published = self._relay(using, batch, once)
            if published and verbosity:
                self.stdout.write(f"published {published} events")
            if published < batch:
                if once:
                    return
                time.sleep(interval)

    def _relay(self, using: str, batch: int, once: bool) -> int:
        try:
            return outbox.relay(conf().publisher, using, batch)
        except PublishError as error:
            if once:
                raise CommandError(str(error)) from error
            self.stderr.write(f"{error}; trying again")
            return 0
