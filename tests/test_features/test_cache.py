"""Features on disk, of real videos through the real data path.

Several ranks are tried in test_tools/test_evaluate_retrieval.py.
"""

import copy
import io
import json
import logging
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from cmac_mm.datasets import MediaError
from cmac_mm.features import cache as feature_cache
from cmac_mm.features import cached_features, extract_features
from cmac_mm.models import FeatureExtractor

CONFIG = dict(
    type="FeatureExtractor",
    backbone=dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1)),
    data_preprocessor=dict(type="AudioVisualDataPreprocessor"),
)
KEY = dict(model=CONFIG)


def build(seed=0):
    init_default_scope("mmaction")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return MODELS.build(CONFIG)


def loader(ann_file, **options):
    """Random clips and crops: they must be the same at every run all the same."""
    pipeline = [
        dict(type="OpenAudioVisual", need_audio=False),
        dict(type="SampleClips", duration=0.5, num_clips=2, mode="random"),
        dict(type="DecodeAudioVisual", fps=8, clip_len=4, short_side=48),
        dict(type="RandomCrop", size=32),
        dict(type="PackAudioVisual"),
    ]
    dataset = dict(
        type="AudioVisualDataset", ann_file=str(ann_file), test_mode=True, pipeline=pipeline
    )
    return (
        dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
            dataset=dataset,
        )
        | options
    )


@pytest.fixture
def ann_file(media_dir, tmp_path):
    files = sorted((media_dir / "ucf101_mini/UCF-101").rglob("*.avi"))[::8][:7]
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{file} {index % 3}\n" for index, file in enumerate(files)))
    return path


@pytest.fixture
def calls(monkeypatch):
    """Rows that went through the network, in order."""
    rows = []
    forward = FeatureExtractor.forward

    def count(self, inputs, data_samples=None, mode="tensor"):
        rows.extend(sample.sample_idx for sample in data_samples)
        return forward(self, inputs, data_samples, mode)

    monkeypatch.setattr(FeatureExtractor, "forward", count)
    return rows


@DATASETS.register_module(force=True)
class ListOfFrames(BaseDataset):
    """A data set without files."""

    def load_data_list(self):
        return [dict(frame_dir="a"), dict(frame_dir="b")]


@pytest.fixture
def copies(ann_file, tmp_path):
    """The list with files of its own, which may be replaced."""
    lines = []
    for line in ann_file.read_text().splitlines():
        name, label = line.rsplit(" ", 1)
        lines.append(f"{shutil.copy(name, tmp_path)} {label}\n")
    ann_file.write_text("".join(lines))
    return [Path(line.rsplit(" ", 1)[0]) for line in lines]


@contextmanager
def log_of(name):
    """What is logged meanwhile."""
    stream = io.StringIO()
    logger = MMLogger.get_instance(name, logger_name=name)
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-6)


def test_computed_once_whatever_the_workers_and_batches(ann_file, tmp_path, calls):
    model = build().train()
    first = cached_features(model, loader(ann_file), tmp_path / "cache", KEY, progress=False)
    assert calls == list(range(7))
    assert model.training and model.backbone.training
    assert first["visual_feature"].shape == (7, 32)
    assert first["visual_feature"].dtype == torch.float32
    assert first["sample_idx"].tolist() == list(range(7))
    assert first["label"].tolist() == [0, 1, 2, 0, 1, 2, 0]

    again = cached_features(
        model, loader(ann_file, batch_size=3), tmp_path / "cache", KEY, progress=False
    )
    assert len(calls) == 7
    assert all(torch.equal(again[name], first[name]) for name in first)

    other = loader(ann_file, batch_size=3, num_workers=2, persistent_workers=True)
    assert_same(cached_features(model, other, tmp_path / "other", KEY, progress=False), first)


def test_agrees_with_features_extracted_without_a_cache(ann_file, tmp_path):
    model = build()
    config = loader(ann_file)
    config["dataset"]["pipeline"][1]["mode"] = "uniform"
    config["dataset"]["pipeline"][3] = dict(type="CenterCrop", crop_size=32)
    cached = cached_features(model, config, tmp_path / "cache", KEY, progress=False)
    plain = extract_features(model, Runner.build_dataloader(config), progress=False)
    assert_same(cached, plain)


def test_goes_on_after_an_interruption(ann_file, tmp_path, calls, monkeypatch):
    monkeypatch.setattr(feature_cache, "_PART_SIZE", 2)
    model = build()
    whole = cached_features(model, loader(ann_file), tmp_path / "whole", KEY, progress=False)
    calls.clear()
    step = FeatureExtractor.test_step

    def stop_at_row_4(self, batch):
        if batch["data_samples"][0].sample_idx == 4:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(FeatureExtractor, "test_step", stop_at_row_4)
    with pytest.raises(KeyboardInterrupt):
        cached_features(model, loader(ann_file), tmp_path / "cache", KEY, progress=False)
    monkeypatch.setattr(FeatureExtractor, "test_step", step)
    assert calls == [0, 1, 2, 3]
    folder = next((tmp_path / "cache").iterdir())
    parts = sorted(folder.glob("part_*"))
    assert len(parts) == 2
    parts[0].unlink()  # and a part is lost
    (folder / ".part_00000004_0.pt.1.tmp").write_bytes(b"cut off")  # a kill amid writing
    calls.clear()
    resumed = cached_features(model, loader(ann_file), tmp_path / "cache", KEY, progress=False)
    assert calls == [0, 1, 4, 5, 6]
    assert_same(resumed, whole)
    assert not [path for path in (tmp_path / "whole").rglob("*") if path.name.startswith(".")]


def test_two_writers_of_the_same_rows_count_once(ann_file, tmp_path):
    model = build()
    first = cached_features(model, loader(ann_file), tmp_path / "cache", KEY, progress=False)
    part = next((tmp_path / "cache").rglob("part_*.pt"))
    part.with_name("part_00000000_zzzzzzzz.pt").write_bytes(part.read_bytes())
    again = cached_features(model, loader(ann_file), tmp_path / "cache", KEY, progress=False)
    assert_same(again, first)


def test_nothing_stale(ann_file, tmp_path, calls):
    """Whatever the features depend on has a folder of its own."""

    def run(model, config, key=KEY):
        calls.clear()
        features = cached_features(model, config, tmp_path / "cache", key, progress=False)
        return features, len(calls)

    first, _ = run(build(), loader(ann_file))
    changed, computed = run(build(seed=1), loader(ann_file))  # other weights
    assert computed == 7
    assert not torch.allclose(changed["visual_feature"], first["visual_feature"])
    pipeline = copy.deepcopy(loader(ann_file))
    pipeline["dataset"]["pipeline"][2]["fps"] = 4
    assert run(build(), pipeline)[1] == 7
    assert run(build(), loader(ann_file), dict(model={**CONFIG, "pooling": "max"}))[1] == 7
    lines = ann_file.read_text().splitlines(keepends=True)
    ann_file.write_text("".join(reversed(lines)))
    turned, computed = run(build(), loader(ann_file))
    assert computed == 7
    assert turned["label"].tolist() == first["label"].flip(0).tolist()
    ann_file.write_text("".join(lines))
    assert run(build(), loader(ann_file))[1] == 0  # the first one's, still there
    for folder in (tmp_path / "cache").iterdir():
        assert set(json.loads((folder / "key.json").read_text())) == {
            *("weights", "lists", "named_files", "dataset", "fields", "files", "model"),
            *("package", "front_end"),
        }


@pytest.mark.parametrize("by_content", [False, True])
def test_replaced_files_are_computed_again(ann_file, copies, tmp_path, calls, by_content):
    """Each on its own; a file that is as it was before finds its old features."""
    options = dict(by_content=by_content, progress=False)

    def run():
        calls.clear()
        features = cached_features(build(), loader(ann_file), tmp_path / "cache", KEY, **options)
        return features["visual_feature"], list(calls)

    first, _ = run()
    old, times = copies[2].read_bytes(), copies[2].stat()
    other = copies[5].read_bytes()
    copies[2].write_bytes(other)  # written over
    new_file = tmp_path / "new.avi"
    new_file.write_bytes(copies[0].read_bytes())
    new_file.replace(copies[6])  # put in its place
    with log_of("replaced") as log:
        second, computed = run()
    assert computed == [2, 6]
    assert "2 of 7 media files have changed" in log.getvalue()
    assert not torch.equal(second[2], first[2]) and not torch.equal(second[6], first[6])
    assert torch.equal(second[[0, 1, 3, 4, 5]], first[[0, 1, 3, 4, 5]])
    assert run()[1] == []
    # With the size and the time of the one that was there, only the content tells.
    copies[2].write_bytes(old)
    os.utime(copies[2], ns=(times.st_atime_ns, times.st_mtime_ns))
    third, computed = run()
    assert computed == [] and torch.equal(third[2], first[2])
    copies[2].touch()
    assert run()[1] == ([] if by_content else [2])
    copies[3].write_bytes(copies[3].read_bytes()[::-1])
    os.utime(copies[3], ns=(0, 0))
    with pytest.raises(MediaError, match=copies[3].name):
        run()


@pytest.mark.parametrize("damage", ["half", "flipped", "empty", "text", "other"])
def test_damaged_parts_are_computed_again(ann_file, tmp_path, calls, monkeypatch, damage):
    monkeypatch.setattr(feature_cache, "_PART_SIZE", 2)
    first = cached_features(build(), loader(ann_file), tmp_path / "cache", KEY, progress=False)
    parts = sorted((tmp_path / "cache").rglob("part_*.pt"))
    assert len(parts) == 4
    content = parts[1].read_bytes()
    if damage == "other":
        torch.save(dict(weight=torch.zeros(3)), parts[1])
    else:
        flipped = bytearray(content)
        flipped[flipped.index(torch.tensor([2, 3]).numpy().tobytes())] ^= 1  # the rows
        damaged = dict(
            flipped=flipped, half=content[: len(content) // 2], empty=b"", text=b"path label\n" * 9
        )
        parts[1].write_bytes(damaged[damage])
    calls.clear()
    with log_of(damage) as log:
        again = cached_features(build(), loader(ann_file), tmp_path / "cache", KEY, progress=False)
    assert calls == [2, 3]
    assert f"Features that were kept in {parts[1]} are lost and computed again" in log.getvalue()
    assert not parts[1].exists()
    assert all(torch.equal(again[name], first[name]) for name in first)


@pytest.mark.parametrize("name", ["__version__", "FRONT_END_VERSION"])
def test_another_version_of_the_code_computes_again(ann_file, tmp_path, calls, monkeypatch, name):
    cached_features(build(), loader(ann_file), tmp_path / "cache", KEY, progress=False)
    monkeypatch.setattr(feature_cache, name, "another")
    cached_features(build(), loader(ann_file), tmp_path / "cache", KEY, progress=False)
    assert len(calls) == 14


def test_files_that_the_pipeline_reads_count(ann_file, tmp_path):
    """AVID's front end has its statistics from a file."""
    statistics = tmp_path / "statistics.json"
    statistics.write_text("{}")
    config = loader(ann_file)
    config["dataset"]["pipeline"].append(dict(type="AVIDSpectrogram", statistics=str(statistics)))
    before = feature_cache.feature_key(build(), config, {})
    assert list(before["named_files"]) == [str(statistics)]
    statistics.write_text("{ }")
    assert feature_cache.feature_key(build(), config, {}) != before


def test_lists_inside_of_wrappers_count(ann_file):
    wrapped = dict(
        dataset=dict(gallery=loader(ann_file)["dataset"], query=loader(ann_file)["dataset"])
    )
    digests = feature_cache.feature_key(build(), wrapped, {})["lists"]
    assert list(digests) == [str(ann_file)]
    ann_file.write_text("changed.avi 0\n")
    assert feature_cache.feature_key(build(), wrapped, {})["lists"] != digests


def test_bad_input_is_refused(ann_file, tmp_path):
    model = build()
    with pytest.raises(ValueError, match="gave none of the fields audio_feature"):
        cached_features(
            model, loader(ann_file), tmp_path, KEY, fields=["audio_feature"], progress=False
        )
    with pytest.raises(ValueError, match="must hold what JSON can hold"):
        cached_features(model, loader(ann_file), tmp_path, dict(model=model), progress=False)
    pictures = loader(ann_file)
    pictures["dataset"] = dict(type="ListOfFrames")
    with pytest.raises(ValueError, match="ListOfFrames does not tell its media files"):
        cached_features(model, pictures, tmp_path / "cache", KEY, progress=False)
