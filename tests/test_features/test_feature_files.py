"""Features of a list in memory-mapped files, of real videos through the real data path.

Several ranks and whole runs are tried in test_engine/test_deep_clustering_training.py.
"""

import io
import json
import logging
import shutil
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.little_room import with_room_for
from mmaction.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from cmac_mm.features import (
    ListLoader,
    extract_features,
    extract_to_files,
)
from cmac_mm.features import (
    list_files as feature_files,
)
from cmac_mm.models import FeatureExtractor

FIELDS = {"visual_feature": 32}
REFUSED = (2, 5)


def build(seed=0):
    init_default_scope("mmaction")
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return MODELS.build(
        dict(
            type="FeatureExtractor",
            backbone=dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1)),
            data_preprocessor=dict(type="AudioVisualDataPreprocessor"),
        )
    )


@pytest.fixture
def ann_file(media_dir, tmp_path):
    """Seven rows; two of them are refused."""
    files = sorted((media_dir / "ucf101_mini/UCF-101").rglob("*.avi"))[::8][:7]
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"nothing")
    for row in REFUSED:
        files[row] = broken
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{file} {i}\n" for i, file in enumerate(files)))
    return path


def dataset(ann_file):
    pipeline = [
        dict(type="OpenAudioVisual", need_audio=False),
        dict(type="SampleClips", duration=0.5, mode="uniform"),
        dict(type="DecodeAudioVisual", fps=8, clip_len=4, short_side=48),
        dict(type="CenterCrop", crop_size=32),
        dict(type="PackAudioVisual"),
    ]
    return dict(
        type="AudioVisualDataset", ann_file=str(ann_file), test_mode=True, pipeline=pipeline
    )


@pytest.fixture(autouse=True)
def _always_flush(monkeypatch):
    monkeypatch.setattr(feature_files, "_FLUSH_SECONDS", 0)


@pytest.fixture
def computed(monkeypatch):
    """Number of videos in each batch that the network sees."""
    batches = []
    extract = FeatureExtractor.extract

    def counted(self, inputs):
        batches.append(len(inputs["imgs"]))
        return extract(self, inputs)

    monkeypatch.setattr(FeatureExtractor, "extract", counted)
    return batches


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_those_of_the_list(ann_file, tmp_path, workers):
    """One by one against extract_features; zeros where a file is refused, which is counted."""
    model = build()
    loader = ListLoader(dataset(ann_file), batch_size=3, num_workers=workers)
    notes = tmp_path / "bad_files/rank0.txt"
    loader.dataset.bad_files.path = notes
    files = extract_to_files(model, loader, tmp_path / "out", FIELDS, dict(round=0))
    assert model.training
    assert np.flatnonzero(files.refused).tolist() == list(REFUSED)
    features = files.features["visual_feature"]
    assert isinstance(features, np.memmap) and features.dtype == np.float32
    assert features.shape == (7, 32)
    for row in range(7):
        if row in REFUSED:
            assert not features[row].any()
            continue
        alone = dict(dataset(ann_file), indices=[row])
        cfg = dict(
            dataset=alone,
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
        )
        expected = extract_features(model, Runner.build_dataloader(cfg), progress=False)
        np.testing.assert_allclose(
            features[row], expected["visual_feature"][0].numpy(), rtol=1e-4, atol=1e-6
        )
    assert len({row.tobytes() for row in features}) == 6
    assert notes.read_text().count("broken.avi") == 1
    assert loader.dataset.bad_files.count == 2


@pytest.mark.parametrize("stop", [1, 2])
def test_interrupted_extraction_goes_on(ann_file, tmp_path, computed, monkeypatch, stop):
    """To the same files to the last bit, and without doing again what was done."""
    model = build()
    loader = ListLoader(dataset(ann_file), batch_size=2, num_workers=0)
    extract_to_files(model, loader, tmp_path / "at once", FIELDS, dict(round=0))
    assert computed == [2, 1, 1, 1]  # of rows 0, 1; 2, 3; 4, 5; 6
    whole = FeatureExtractor.extract

    def interrupted(self, inputs):
        if len(computed) == stop:
            raise InterruptedError
        return whole(self, inputs)

    computed.clear()
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractor, "extract", interrupted)
        with pytest.raises(InterruptedError):
            extract_to_files(model, loader, tmp_path / "parts", FIELDS, dict(round=0))
    assert np.count_nonzero(np.load(tmp_path / "parts/status.npy")) == 2 * stop
    extract_to_files(model, loader, tmp_path / "parts", FIELDS, dict(round=0))
    assert computed == [2, 1, 1, 1]
    extract_to_files(model, loader, tmp_path / "parts", FIELDS, dict(round=0))
    assert computed == [2, 1, 1, 1]
    for name in ("visual_feature.npy", "status.npy"):
        first, second = (tmp_path / folder / name for folder in ("at once", "parts"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("flush_seconds", [0, 1000])
@pytest.mark.parametrize("rows", [0.5, 3, 6.25])
def test_a_full_disk_marks_no_half_rows(ann_file, tmp_path, monkeypatch, flush_seconds, rows):
    """Names the file; when there is room again, the same call ends with the same features."""
    monkeypatch.setattr(feature_files, "_FLUSH_SECONDS", flush_seconds)
    model = build()
    loader = ListLoader(dataset(ann_file), batch_size=2, num_workers=0)
    extract_to_files(model, loader, tmp_path / "whole", FIELDS, {})
    folder = tmp_path / "parts"
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(feature_files, "_compute", mock.Mock(side_effect=InterruptedError))
        extract_to_files(model, loader, folder, FIELDS, {})  # makes the files
    path = folder / "visual_feature.npy"
    header = np.load(path, mmap_mode="r").offset
    room = header + int(rows * 32 * 4)
    error = with_room_for(room, lambda: extract_to_files(model, loader, folder, FIELDS, {}))
    assert isinstance(error, RuntimeError)
    assert f"{path}: no room" in str(error)
    done = np.flatnonzero(np.load(folder / "status.npy"))
    assert len(done) <= rows
    expected = np.load(tmp_path / "whole/visual_feature.npy")
    np.testing.assert_array_equal(np.load(path)[done], expected[done])
    extract_to_files(model, loader, folder, FIELDS, {})
    for name in ("visual_feature.npy", "status.npy"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_no_room_for_the_files_themselves(ann_file, tmp_path):
    loader = ListLoader(dataset(ann_file), batch_size=2, num_workers=0)
    call = partial(extract_to_files, build(), loader, tmp_path / "out", FIELDS, {})
    error = with_room_for(500, call)
    assert isinstance(error, RuntimeError)
    assert f"{tmp_path}/out/visual_feature.npy: no room for 0.0 MiB" in str(error)
    assert not call().refused.all()


def test_lost_row_is_computed_with_its_batch(ann_file, tmp_path, computed):
    loader = ListLoader(dataset(ann_file), batch_size=2, num_workers=0)
    extract_to_files(build(), loader, tmp_path, FIELDS, dict(round=0))
    before = (tmp_path / "visual_feature.npy").read_bytes()
    status = np.load(tmp_path / "status.npy")
    status[1] = 0
    np.save(tmp_path / "status.npy", status)
    computed.clear()
    extract_to_files(build(), loader, tmp_path, FIELDS, dict(round=0))
    assert computed == [2]
    assert (tmp_path / "visual_feature.npy").read_bytes() == before


def test_replaced_files_are_computed_again(ann_file, tmp_path, computed, capfd):
    """Also one that was refused."""
    lines = ann_file.read_text().splitlines()
    files = [
        Path(shutil.copy(line.rsplit(" ", 1)[0], tmp_path / f"{i}.avi"))
        for i, line in enumerate(lines)
    ]
    ann_file.write_text("".join(f"{file} 0\n" for file in files))
    out = tmp_path / "out"

    def run():
        loader = ListLoader(dataset(ann_file), batch_size=2, num_workers=0)
        computed.clear()
        return extract_to_files(build(), loader, out, FIELDS, dict(round=0))

    first = run().features["visual_feature"].copy()
    assert computed == [2, 1, 1, 1]
    shutil.copy(files[0], files[2])
    files[6].unlink()
    shutil.copy(files[1], files[6])
    second = run()
    assert computed == [2, 1]  # rows 2 and 3; 6
    assert np.flatnonzero(second.refused).tolist() == [5]
    features = second.features["visual_feature"]
    assert (features[[0, 1, 4]] == first[[0, 1, 4]]).all()
    np.testing.assert_allclose(features[3], first[3], rtol=1e-4)  # in a batch of two now
    assert features[2].any() and (features[6] != first[6]).any()
    run()
    assert computed == []


@pytest.mark.parametrize("name", ["visual_feature.npy", "status.npy", "file_stamps.npy"])
@pytest.mark.parametrize("length", [0, 40, -1, None])
def test_damaged_files_are_made_anew(ann_file, tmp_path, computed, name, length):
    loader = ListLoader(dataset(ann_file), batch_size=4, num_workers=0)
    extract_to_files(build(), loader, tmp_path / "out", FIELDS, dict(round=0))
    path = tmp_path / "out" / name
    whole = path.read_bytes()
    if length is None:
        path.unlink()
    else:
        path.write_bytes(whole[:length])
    computed.clear()
    stream = io.StringIO()
    logger = MMLogger.get_instance("damaged", logger_name="damaged")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    extract_to_files(build(), loader, tmp_path / "out", FIELDS, dict(round=0))
    logger.removeHandler(handler)
    assert sum(computed) == 5
    assert "All features are computed again" in stream.getvalue() and name in stream.getvalue()
    assert path.read_bytes() == whole


def test_what_features_depend_on_makes_them_new(ann_file, tmp_path, computed):
    loader = ListLoader(dataset(ann_file), batch_size=3, num_workers=0)
    extract_to_files(build(), loader, tmp_path, FIELDS, dict(round=0))
    assert json.loads((tmp_path / "key.json").read_text())["round"] == 0
    for change in ("round", "weights", "list", "batch size"):
        computed.clear()
        model = build(1) if change == "weights" else build()
        if change == "list":
            ann_file.write_text("\n".join(ann_file.read_text().splitlines()[:4]))
        size = 2 if change == "batch size" else 3
        loader = ListLoader(dataset(ann_file), batch_size=size, num_workers=0)
        key = dict(round=1 if change == "round" else 0)
        files = extract_to_files(model, loader, tmp_path, FIELDS, key)
        rows = len(loader)
        assert sum(computed) == rows - sum(row < rows for row in REFUSED), change
        assert len(files.features["visual_feature"]) == rows


def test_bad_fields_and_lists_are_refused(ann_file, tmp_path):
    loader = ListLoader(dataset(ann_file), batch_size=3, num_workers=0)
    with pytest.raises(ValueError, match=r"visual_feature has shape \(32,\) .* config says 16"):
        extract_to_files(build(), loader, tmp_path / "a", {"visual_feature": 16}, {})
    with pytest.raises(ValueError, match="FeatureExtractor gave no field 'audio_feature'"):
        extract_to_files(build(), loader, tmp_path / "b", {"audio_feature": 32}, {})
    ann_file.write_text(f"{tmp_path}/nothing.mp4 0\n{tmp_path}/nothing2.mp4 1\n")
    loader = ListLoader(dataset(ann_file), batch_size=3, num_workers=0)
    with pytest.raises(RuntimeError, match=r"all 2 files of .*list.txt were refused"):
        extract_to_files(build(), loader, tmp_path / "c", FIELDS, {})
