"""Folders that tests look into."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
MEDIA = ROOT / "../shared/media"
TINY = ROOT / "tests/helpers/tiny"
