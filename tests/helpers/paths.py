"""Folders that tests look into."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
# CMAC_MM_TEST_MEDIA names another folder of real media files; one that is not there hides them.
MEDIA = Path(os.environ.get("CMAC_MM_TEST_MEDIA", ROOT / "../shared/media"))
TINY = ROOT / "tests/helpers/tiny"
