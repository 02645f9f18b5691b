"""Holds the table of events that wait for the broker: the same that `quash schema outbox` prints."""

from __future__ import annotations

from django.db import models


class OutboxEvent(models.Model):
    """An event that was committed and is not published yet."""

    id = models.BigAutoField(primary_key=True)
    #: Native JSON.
    body = models.TextField()
    #: Why it can never be published; empty while it waits.
    error = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "quash"
        db_table = "quash_outbox"
        ordering = ("id",)
        indexes = (models.Index(fields=["id"], condition=models.Q(error=""), name="quash_outbox_waiting"),)

    def __str__(self) -> str:
        return f"event {self.pk}"
