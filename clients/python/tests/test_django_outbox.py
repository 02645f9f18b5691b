"""Shares the outbox with other writers and other relays: one table, whoever made it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_setup  # noqa: F401
import pytest
from django.core.management import call_command
from django.db import connections

from quash.django.models import OutboxEvent
from quash.message import pack

LAYOUT = Path(__file__).parents[3] / "crates/relay/src/outbox/layout.sql"
EVENT = '{"entity": "shop.Tag", "op": "truncate", "id": "good"}'


class Recorder:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, documents: list[dict[str, Any]]) -> None:
        self.sent.extend(document["id"] for document in documents)


def test_the_relay_takes_what_others_wrote_and_marks_what_is_no_event(databases: None) -> None:
    from quash.django import outbox

    with connections["postgres"].cursor() as cursor:
        for body in ["rubbish", "[1]", '{"specversion": "1.0"}', EVENT]:
            # They name neither the error nor the time.
            cursor.execute("INSERT INTO quash_outbox (body) VALUES (%s)", [body])
    recorder = Recorder()
    outbox.relay(recorder, "postgres", 10)  # type: ignore[arg-type]
    assert recorder.sent == ["good"]
    assert outbox.waiting("postgres") == (0, 3)
    first, *_ = OutboxEvent.objects.using("postgres").values_list("error", flat=True)
    assert first.startswith("no JSON: ")


def test_the_table_is_the_one_that_the_program_prints(databases: None) -> None:
    """In another schema, so that the catalogue can be asked for both."""
    columns = """
        SELECT column_name, udt_name, is_nullable, is_identity, identity_generation, column_default
        FROM information_schema.columns WHERE table_schema = %s AND table_name = 'quash_outbox' ORDER BY 1
    """
    indexes = """
        SELECT replace(indexdef, schemaname || '.', '') FROM pg_indexes
        WHERE schemaname = %s AND tablename = 'quash_outbox' ORDER BY 1
    """
    with connections["postgres"].cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS printed CASCADE; CREATE SCHEMA printed; SET search_path = printed")
        cursor.execute(LAYOUT.read_text())
        cursor.execute("RESET search_path")
        for question in (columns, indexes):
            answers = []
            for schema in ("printed", "public"):
                cursor.execute(question, [schema])
                answers.append(cursor.fetchall())
            assert answers[0]
            assert answers[0] == answers[1]
        cursor.execute("DROP SCHEMA printed CASCADE")


def test_the_migrations_say_what_the_models_say(databases: None) -> None:
    call_command("makemigrations", "quash", check=True, dry_run=True, verbosity=0)


def test_what_django_writes_is_json_in_one_line(databases: None) -> None:
    """A relay takes the body as it is."""
    from quash.django import outbox

    outbox.keep([json.loads(EVENT)], "postgres")
    (row,) = OutboxEvent.objects.using("postgres")
    assert json.loads(row.body) == json.loads(EVENT)
    assert "\n" not in row.body


def test_headers_wait_with_their_event(databases: None) -> None:
    from quash.django import outbox

    outbox.keep([json.loads(EVENT) | {"headers": {"quash-tenant": "acme"}}], "postgres")
    sent: list[Any] = []
    outbox.relay(type("To", (), {"send": lambda _, documents: sent.extend(pack(documents))})(), "postgres", 10)
    (message,) = sent
    assert (message.headers, json.loads(message.body)) == ((("quash-tenant", "acme"),), json.loads(EVENT))


@pytest.fixture(autouse=True)
def _no_outbox_left(databases: None) -> Iterator[None]:
    yield
    OutboxEvent.objects.using("postgres").all().delete()
