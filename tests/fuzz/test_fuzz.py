"""Damaged files through the training pipeline, and the script that does it at scale."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from mmengine.registry import DefaultScope

from cmac_mm.datasets.guarded import Guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture(scope="module")
def tool():
    """The script as a module."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield importlib.import_module("fuzz_loading")


@pytest.fixture(scope="module")
def load(tool):
    return partial(Guard(30), tool.Loader(memory_limit=2048))


@pytest.fixture(scope="module")
def folders(tool, media_dir):
    return [media_dir / name for name in tool.FOLDERS]


@pytest.fixture(scope="module")
def sources(tool, load, folders, tmp_path_factory):
    return tool.collect_sources(folders, 2, load, tmp_path_factory.mktemp("webm"))


def test_damaged_files_end_in_a_clip_or_a_clean_error(tool, load, sources, tmp_path):
    results = tool.fuzz(list(range(96)), 0, sources, load, tmp_path)
    assert {result.outcome for result in results} == {"clip", "refused"}
    assert {(result.suffix, result.kind) for result in results} == {
        (suffix, kind) for suffix in tool.SUFFIXES for kind in tool.MUTATIONS
    }
    # The damage does reach the readers, which do not give up on all of it.
    refused = sum(result.outcome == "refused" for result in results)
    assert 24 <= refused <= 72
    assert all(result.reason for result in results if result.outcome == "refused")
    assert tool.growth(results) < 8
    assert not list((tmp_path / "failed").iterdir())
    assert not list(tmp_path.glob("variant.*"))
    tool.print_summary(results)

    again = tool.fuzz([3, 17, 40, 90], 0, sources, load, tmp_path)
    for result in again:
        before = results[result.number]
        assert (result.outcome, result.reason) == (before.outcome, before.reason)
        assert result.source == before.source


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mpg", "webm"])
def test_variants_follow_the_seed_and_are_damaged(tool, load, sources, tmp_path, suffix):
    source = sources[suffix][-1]
    data = source.read_bytes()
    assert load((source, 0))[0] == "clip"
    for mutate in tool.MUTATIONS.values():
        variants = [mutate(data, suffix, np.random.default_rng(seed)) for seed in range(12)]
        assert variants[3] == mutate(data, suffix, np.random.default_rng(3))
        # Some exchange what is the same, but not many.
        assert len(set(variants)) >= 9
        assert sum(variant != data for variant in variants) >= 9


def test_failures_are_found_and_kept(tool, sources, tmp_path, capsys):
    """Faults of every kind, in a real process."""

    def bad_load(variant: tuple[Path, int]) -> tuple[str, str, float, float]:
        fault = variant[1] % 5
        if fault == 1:
            ctypes.string_at(0)
        elif fault == 2:
            ctypes.PyDLL(None).sleep(1000)
        elif fault == 3:
            raise KeyError("no MediaError")
        return ("clip", "", 100.0, 100.0 + variant[1])

    results = tool.fuzz(list(range(20)), 0, sources, partial(Guard(0.3), bad_load), tmp_path)
    expected = ["clip", "crashed", "hung", "error", "clip"] * 4
    assert [result.outcome for result in results] == expected
    assert "SIGSEGV" in results[1].reason
    assert "KeyError" in results[3].reason
    assert "in bad_load" in results[3].reason
    kept = sorted(int(path.name[:6]) for path in (tmp_path / "failed").iterdir())
    assert kept == [i for i in range(20) if expected[i] != "clip"]
    content = tool.make_variant(7, 0, sources)[0]
    assert next((tmp_path / "failed").glob("000007_*")).read_bytes() == content
    good = [result for result in results if result.outcome == "clip"]
    assert tool.growth(good) == 0
    growing = [replace(good[0], after_mb=100 + 2 * i) for i in range(100)]
    # From the median of 10 to 19 to that of 90 to 99.
    assert tool.growth(growing) == 160
    tool.print_summary(results)
    assert "crashed" in capsys.readouterr().out


def test_clips_are_checked(tool):
    good = dict(imgs=torch.zeros(3, 32, 128, 128), audio=torch.zeros(1, 257, 100))
    tool._check(good)
    with pytest.raises(ValueError, match="the clip has the shapes"):
        tool._check(dict(good, imgs=torch.zeros(3, 31, 128, 128)))
    with pytest.raises(ValueError, match="no numbers"):
        tool._check(dict(good, audio=torch.full((1, 257, 100), torch.nan)))


@pytest.mark.slow
def test_two_thousand_variants(folders, tmp_path):
    command = [sys.executable, ROOT / "tests/fuzz/fuzz_loading.py"]
    command += ["--work-dir", tmp_path, "--videos", *folders]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=550)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert len(results) == 2000
    assert {r["outcome"] for r in results} == {"clip", "refused"}
    assert "2000 damaged files" in result.stdout
