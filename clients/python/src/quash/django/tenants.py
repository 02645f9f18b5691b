"""Says with each event whose rows it is about, where each tenant has a schema of its own."""

from __future__ import annotations

import logging

from ..message import HEADERS
from ..scope import Documents
from .conf import conf

logger = logging.getLogger("quash")

#: Rules read it as `event.headers.quash-tenant`.
HEADER = "quash-tenant"


def of_tenant(documents: Documents, using: str) -> Documents:
    """The same events, each with the tenant that the connection to a database is set to now."""
    try:
        tenant = conf().tenant(using)
    except Exception:
        # Of the application. Without its tenant an event is still one: rules take it as unknown.
        logger.exception("cannot tell the tenant of %d events", len(documents))
        return documents
    if not tenant:
        return documents
    return [document | {HEADERS: {HEADER: str(tenant), **document.get(HEADERS, {})}} for document in documents]
