"""Creates the table of the outbox, on PostgreSQL the same that `quash schema outbox` prints."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import migrations, models


def default_in_the_database(apps: Any, schema_editor: Any) -> None:
    """Lets writers that know no Django name only the body: Django keeps defaults to itself."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE quash_outbox ALTER COLUMN error SET DEFAULT ''")
        schema_editor.execute("ALTER TABLE quash_outbox ALTER COLUMN created_at SET DEFAULT now()")


class Migration(migrations.Migration):
    """The outbox."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Any]] = [
        migrations.CreateModel(
            name="OutboxEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("body", models.TextField()),
                ("error", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "quash_outbox",
                "ordering": ("id",),
                "indexes": [
                    models.Index(fields=["id"], condition=models.Q(error=""), name="quash_outbox_waiting"),
                ],
            },
        ),
        migrations.RunPython(default_in_the_database, migrations.RunPython.noop),
    ]
