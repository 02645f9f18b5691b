"""Fills in what an event does not say: who publishes, in which process, in which trace."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from .event import Publishable, document


class Context:
    """What holds for every event of one publisher."""

    def __init__(self, source: str | None) -> None:
        self._source = source
        self._host = socket.gethostname()

    def document(self, what: Publishable) -> dict[str, Any]:
        """The native JSON of what is to be published, with the context filled in.

        Raises:
            EventError: see `quash.event.document`.
        """
        fields = document(what)
        if "entity" in fields:
            self.fill(fields)
        return fields

    def fill(self, fields: dict[str, Any]) -> None:
        """Fills the context into an event, where the event does not say it."""
        if self._source is not None:
            fields.setdefault("source", self._source)
        fields.setdefault("origin", f"{self._host}:{os.getpid()}")
        if "traceparent" not in fields:
            current = traceparent()
            if current is not None:
                fields["traceparent"] = current


def traceparent() -> str | None:
    """The W3C trace context of the current OpenTelemetry span, where the application uses it."""
    if "opentelemetry" not in sys.modules:
        return None
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
