"""Lends the Redis of the tests of caching libraries, which is the same here."""

import sys

from engine import ROOT

sys.path.insert(0, str(ROOT / "tests/libraries"))

from harness.servers import Redis, free_port  # noqa: E402, F401
