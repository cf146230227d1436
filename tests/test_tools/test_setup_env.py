"""tools/setup_env.sh."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from helpers.paths import ROOT


def set_up(root, **env):
    """Run the script of the checkout `root` with no environment active."""
    active = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHON")
    env = {key: value for key, value in os.environ.items() if key not in active} | env
    command = ["bash", root / "tools/setup_env.sh"]
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path):
    root = tmp_path / "some where"
    skip = shutil.ignore_patterns("__pycache__", ".mim", "*.egg-info")
    for name in ("cmac_mm", "configs", "tools", "requirements"):
        shutil.copytree(ROOT / name, root / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, root)
    return root


def make_command(folder, name, output):
    """A command that prints a fixed text, to be found before the system's."""
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_says_that_the_disk_is_too_small(checkout, tmp_path):
    disk = "Filesystem 1024-blocks Used Available\n/dev/disk 9999999 5000000 4999999 50% /"
    result = set_up(checkout, PATH=make_command(tmp_path / "bin", "df", disk))
    assert result.returncode == 1
    assert "need about 8 GiB" in result.stderr
    assert "has 4 GiB free" in result.stderr
    assert not (checkout / ".venv").exists()


def test_says_that_python_is_too_old(checkout, tmp_path):
    disk = "Filesystem 1024-blocks Used Available\n/dev/disk 99999999 0 99999999 0% /"
    path = make_command(tmp_path / "bin", "df", disk)
    result = set_up(checkout, PATH=path, PYTHON="no-such-python")
    assert result.returncode == 1
    assert "no Python 3.10 to 3.13 found (looked for no-such-python)" in result.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
def test_sets_up_from_nothing_and_keeps_full_mmcv(checkout):
    """Downloads some gigabytes."""
    result = set_up(checkout)
    assert result.returncode == 0, result.stderr
    python = Path(result.stdout.strip())
    assert python == checkout / ".venv/bin/python"

    start = time.perf_counter()
    assert set_up(checkout).stdout == result.stdout
    assert time.perf_counter() - start < 2

    # Full mmcv, as far as an installer can tell; a changed requirement runs the set-up again.
    (site_packages,) = (checkout / ".venv/lib").glob("python*/site-packages")
    info = site_packages / "mmcv-2.1.0.dist-info"
    (site_packages / "mmcv_lite-2.1.0.dist-info").rename(info)
    metadata = info / "METADATA"
    metadata.write_text(metadata.read_text().replace("Name: mmcv-lite", "Name: mmcv", 1))
    version = site_packages / "mmcv/version.py"
    version.write_text(version.read_text() + "is_full = True\n")
    with (checkout / "requirements/test.txt").open("a") as file:
        file.write("# changed\n")
    result = set_up(checkout)
    assert result.returncode == 0, result.stderr
    assert version.read_text().endswith("is_full = True\n")
    assert not list(site_packages.glob("mmcv_lite*"))
