"""Finds what rules wait for in vain: models that nobody publishes, columns that are missing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connections

from quash.django import coverage, outbox
from quash.django.conf import conf


class Command(BaseCommand):
    """Fails when there is a gap."""

    help = "Compares what Quash's rules need with what this project publishes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--graph", metavar="FILE", help="the output of `quash graph -o json`, instead of running it"
        )
        parser.add_argument("--quash", metavar="PROGRAM", default="quash", help="the program to run")
        parser.add_argument(
            "-c", "--config", action="append", default=[], help="a configuration file or folder of Quash"
        )

    def handle(self, *_: Any, graph: str | None, quash: str, config: list[str], **options: Any) -> None:
        try:
            found = coverage.findings(_graph(graph, quash, config), conf().models.values())
        except ValueError as error:
            raise CommandError(str(error)) from error
        for finding in found:
            style = self.style.ERROR if finding.is_gap else self.style.NOTICE
            self.stdout.write(style(("error: " if finding.is_gap else "note: ") + str(finding)))
        self._outbox()
        gaps = sum(finding.is_gap for finding in found)
        if gaps:
            raise CommandError(f"{gaps} gap{'' if gaps == 1 else 's'} between rules and QUASH['models']")
        self.stdout.write(self.style.SUCCESS(f"{len(conf().models)} models publish what the rules need"))

    def _outbox(self) -> None:
        database = conf().outbox_database
        for alias in connections if database is None else [database]:
            try:
                waiting, failed = outbox.waiting(alias)
            except Error:
                # Without its table, which only the policy `outbox` needs.
                continue
            if waiting or failed:
                self.stdout.write(f"note: outbox of {alias}: {waiting} events wait, {failed} can never be published")


def _graph(file: str | None, program: str, config: list[str]) -> Any:
    text = Path(file).read_text(encoding="utf-8") if file else _output(program, config)
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"the graph is no JSON: {error}") from error


def _output(program: str, config: list[str]) -> str:
    command = [program, "graph", "-o", "json", *(part for path in config for part in ("-c", path))]
    try:
        # What to run is said by whoever may run commands here anyway.
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"run {program}: {error}; give its output with --graph") from error
    if done.returncode != 0:
        raise CommandError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout
