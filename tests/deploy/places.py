"""Names the files and programs that these tests are about."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "quash"
QUASH = os.environ.get("QUASH_BIN", str(ROOT / "target" / "debug" / "quash"))
#: The programs that came with the requirements of these tests.
BIN = pathlib.Path(sys.executable).parent
