"""The commands of the READMEs, as bash expands them: variables, loops and quotes included."""

import os
import re
import subprocess
from pathlib import Path

from helpers.paths import ROOT

READMES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("", "benchmarks", "configs", "docs", "tools")
    for path in (ROOT / folder).glob("**/*.md" if folder else "*.md")
)
# What the commands call, beside scripts of this project.
PROGRAMS = ("python", "pip", "cat")
CLOCK = 'clock() { shift 2; "$@"; }\n'
NOTE = """#!/bin/sh
{ printf '%s\\037' "$0" "$@"; printf '\\036'; } >> "$COMMANDS"
echo written-by-$(basename "$0")
"""


def blocks(readme: str, language: str = "bash") -> list[str]:
    """The code blocks of a README."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def write_files(readme: str, folder: Path) -> None:
    """Write the Python files that a README gives, those whose block begins with their name."""
    for block in blocks(readme, "python"):
        if match := re.match(r"# (\w+\.py)\n", block):
            (folder / match[1]).write_text(block)


def commands(block: str, folder: Path) -> list[list[str]]:
    """Run a block in bash with programs in place that only note how they are called.

    Scripts are called by the path that the README has; their calls begin with it.
    """
    programs = folder / "programs"
    found = [*(ROOT / "tools").glob("*.sh"), *(ROOT / "benchmarks").glob("*.sh")]
    scripts = [path.relative_to(ROOT) for path in found]
    for path in [*(programs / name for name in PROGRAMS), *(folder / name for name in scripts)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NOTE)
        path.chmod(0o755)
    log = folder / "commands"
    log.write_text("")
    done = subprocess.run(
        ["bash", "-c", CLOCK + block.replace("/usr/bin/time", "clock")],
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "COMMANDS": str(log)},
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    calls = [call.split("\037")[:-1] for call in log.read_text().split("\036")[:-1]]
    return [[call[0].removeprefix(f"{programs}/"), *call[1:]] for call in calls]
