from __future__ import annotations

import multiprocessing
import re
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.media_tools import write_video
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from mmengine.dataset import RepeatDataset, default_collate
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from cmac_mm.datasets import MediaError
from cmac_mm.datasets.bad_files import BadFileLog

PIPELINE = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0),
    dict(type="DecodeAudioVisual", fps=8, short_side=36, sample_rate=8000, silence_db=-80.0),
    dict(type="RandomCrop", size=32),
    dict(type="Flip"),
    dict(type="LogMelSpectrogram", sample_rate=8000, num_mels=40, hop_length=80, n_fft=1024),
    dict(type="SpecAugment", time_mask=4),
    dict(type="PackAudioVisual"),
]


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Four good files, two bad ones and a silent one."""
    folder = tmp_path_factory.mktemp("videos")
    for i in range(4):
        write_video(folder / f"good {i}.mp4", seconds=2, flashes=tuple(range(3, 50, 10)))
    write_video(folder / "plain.mp4", seconds=2, flashes=tuple(range(3, 50, 10)))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video")
    write_video(folder / "silent.mp4", seconds=2)
    return folder


def build(folder: Path, lines: list[str], **kwargs: object) -> torch.utils.data.Dataset:
    ann_file = folder / f"list{abs(hash(tuple(lines)))}.txt"
    ann_file.write_text("\n".join(lines) + "\n")
    return build_from(ann_file, data_prefix=dict(video=str(folder)), **kwargs)


def build_from(ann_file: Path, **kwargs: object) -> torch.utils.data.Dataset:
    settings = dict(pipeline=PIPELINE, **kwargs)
    return DATASETS.build(dict(type="AudioVisualDataset", ann_file=str(ann_file), **settings))


GOOD = [f"good {i}.mp4 {i}" for i in range(4)]
MIXED = [*GOOD[:2], "empty.mp4 7", "text.mp4 8", "gone.mp4 9", "silent.mp4 6", *GOOD[2:]]


def test_a_sample(videos):
    dataset = build(videos, GOOD)
    assert len(dataset) == 4
    packed = dataset[2]
    assert packed["inputs"]["imgs"].shape == (3, 8, 32, 32)
    assert packed["inputs"]["audio"].shape == (1, 40, 100)
    data_sample = packed["data_samples"]
    assert isinstance(data_sample, ActionDataSample)
    assert data_sample.gt_label.tolist() == [2]
    assert data_sample.sample_idx == 2
    assert data_sample.filename == str(videos / "good 2.mp4")
    assert 0 <= data_sample.clip_start[0] <= 1.05
    assert data_sample.audio_start == data_sample.clip_start
    assert data_sample.clip_duration == 1.0
    assert data_sample.original_shape == (48, 64)
    assert data_sample.img_shape == (32, 32)
    assert data_sample.crop_quadruple.shape == (4,)
    assert bool(data_sample.flip) in (True, False)


def test_list_format(videos):
    lines = ["", "a b/c d.mp4 12", "   ", "plain.mp4", "tab.mp4\t3", "x.mp4   0  "]
    lines += ["with space.mp4\t4", "räk smörgås/北京\u3000.mp4 5", "\t indented.mp4 \t 007", "7"]
    dataset = build(videos, lines)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    names = [Path(info["filename"]).relative_to(videos).as_posix() for info in infos]
    expected = ["a b/c d.mp4", "plain.mp4", "tab.mp4", "x.mp4", "with space.mp4"]
    assert names == [*expected, "räk smörgås/北京\u3000.mp4", "indented.mp4", "7"]
    assert [info.get("label") for info in infos] == [12, None, 3, 0, 4, 5, 7, None]
    assert [info["sample_idx"] for info in infos] == list(range(8))


BAD_LINES = ["a.mp4 cat", "a.mp4 -1", "a.mp4 1.5", "a b.mp4", "a.mp4 ²", "a.mp4\t1e3", "a\0.mp4 1"]


@pytest.mark.parametrize("line", BAD_LINES)
def test_bad_lines_are_refused_by_number(videos, line):
    with pytest.raises(ValueError, match=r"list\d+\.txt, line 3: expected 'path label'.*found"):
        build(videos, ["ok.mp4 1", "", line])


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\t \r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lists_of_all_systems(tmp_path, mark, end):
    lines = ["first.mp4 1", "", "good i.mp4 2", "good i.mp4 2", "last.mp4 3"]
    for last in (end, ""):
        (tmp_path / "list.txt").write_bytes((mark + end.join(lines) + last).encode())
        infos = build_from(tmp_path / "list.txt").load_data_list()
        assert [(info["filename"], info["label"]) for info in infos] == [
            ("first.mp4", 1),
            ("good i.mp4", 2),
            ("good i.mp4", 2),
            ("last.mp4", 3),
        ]


def test_lists_that_are_no_text(videos, tmp_path):
    (tmp_path / "latin.txt").write_bytes("a.mp4 1\nb.mp4 2\nsmörgås.mp4 3\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.txt, line 3: expected text in UTF-8, .* 0xf6"):
        build_from(tmp_path / "latin.txt")
    (tmp_path / "windows.txt").write_bytes("a.mp4 1\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"windows\.txt, line 1: expected text in UTF-8"):
        build_from(tmp_path / "windows.txt")
    with pytest.raises(ValueError, match=r"plain\.mp4, line \d+: expected"):
        build_from(videos / "plain.mp4")
    (tmp_path / "zeros.txt").write_bytes(bytes(100000))
    with pytest.raises(ValueError, match=r"zeros\.txt, line 1: expected 'path label'") as caught:
        build_from(tmp_path / "zeros.txt")
    assert len(str(caught.value)) < 2000


def test_missing_and_empty_lists_are_named(videos):
    settings = dict(type="AudioVisualDataset", pipeline=PIPELINE)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt"):
        DATASETS.build(dict(ann_file=str(videos / "nowhere.txt"), **settings))
    with pytest.raises(ValueError, match="lists no files"):
        build(videos, [""])
    with pytest.raises(ValueError, match="on_error must be"):
        build(videos, GOOD, on_error="ignore")


def test_rows_are_kept_in_subsets_and_repetitions(videos):
    subset = build(videos, GOOD, indices=[3, 1])
    assert [subset[i]["data_samples"].sample_idx for i in range(2)] == [3, 1]
    repeated = RepeatDataset(build(videos, GOOD), times=3)
    assert repeated[9]["data_samples"].sample_idx == 1


def test_a_long_list_stays_small(videos):
    dataset = build(videos, [f"some/folder/video_{i:06d}.mp4 {i % 400}" for i in range(50000)])
    assert len(dataset) == 50000
    assert sum(part.nbytes for part in dataset.data_list.table[:3]) == 50000 * (29 + 12)
    assert dataset.get_data_info(49999)["label"] == 49999 % 400


def test_bad_samples_are_replaced_logged_once_and_listed(videos, tmp_path, capsys):
    dataset = build(videos, MIXED)
    dataset.bad_files.path = tmp_path / "deep" / "bad.txt"
    MMLogger.get_instance("replacing", logger_name="replacing")
    np.random.seed(0)
    for _ in range(3):
        for i in range(len(dataset)):
            sample = dataset[i]["data_samples"]
            assert sample.sample_idx in (0, 1, 6, 7)
            assert sample.gt_label.item() in (0, 1, 2, 3)
    logged = [line for line in capsys.readouterr().out.splitlines() if "Replaced" in line]
    bad = ["empty.mp4", "text.mp4", "gone.mp4", "silent.mp4"]
    for name in bad:
        assert sum(name in message for message in logged) == 1
    lines = (tmp_path / "deep" / "bad.txt").read_text().splitlines()
    reasons = dict(line.split("\t") for line in lines)
    assert len(lines) == 4
    assert set(reasons) == {str(videos / name) for name in bad}
    assert "silent" in reasons[str(videos / "silent.mp4")]
    assert "No such file" in reasons[str(videos / "gone.mp4")]
    assert dataset.bad_files.count >= 12


def test_errors_are_raised_on_request_and_in_tests(videos):
    for kwargs in (dict(on_error="raise"), dict(test_mode=True)):
        dataset = build(videos, MIXED, **kwargs)
        assert dataset[0]["data_samples"].sample_idx == 0
        with pytest.raises(MediaError, match=r"empty\.mp4: cannot be opened.*check_videos\.py"):
            dataset[2]
    assert dataset.bad_files.count == 0


ALL_BAD = ["empty.mp4 0", "text.mp4 1", "silent.mp4 1"]
ALL_BAD_ERROR = (
    r"8 samples of .*list\d+\.txt in a row \([123] different files\) were refused; "
    r"the last one: .*mp4: .*check_videos\.py"
)


def test_a_set_of_bad_files_ends_in_one_clear_error(videos):
    dataset = build(videos, ALL_BAD, max_refetch=7)
    with pytest.raises(RuntimeError, match=ALL_BAD_ERROR):
        dataset[0]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("time_limit", [None, 20])
def test_a_set_of_bad_files_ends_a_loader_with_workers(videos, time_limit):
    dataset = build(videos, ALL_BAD, max_refetch=7, time_limit=time_limit)
    try:
        next(iter(DataLoader(dataset, num_workers=2, persistent_workers=True)))
    except RuntimeError as error:
        # PyTorch takes 10 s to end workers that the frames of an error have kept alive.
        caught = error.with_traceback(None)
    assert re.search(ALL_BAD_ERROR, str(caught))


def test_mistakes_in_a_pipeline_are_not_taken_for_bad_files(videos):
    dataset = build(videos, GOOD)
    dataset.pipeline.transforms[5].sample_rate = 16000
    with pytest.raises(ValueError, match="16000 Hz") as caught:
        dataset[0]
    assert not isinstance(caught.value, MediaError)


def test_the_file_is_closed_when_a_transform_fails(videos):
    dataset = build(videos, GOOD)
    opened = []
    transform = dataset.pipeline.transforms[0].transform

    def spy(results: dict) -> dict:
        results = transform(results)
        opened.append(results["media"])
        return results

    dataset.pipeline.transforms[0].transform = spy
    dataset.pipeline.transforms[1].transform = lambda results: results["nothing"]
    with pytest.raises(KeyError):
        dataset[0]
    assert opened[0]._container is None


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_share_one_list_and_batches_are_stacked(videos, tmp_path, context):
    """The path is set after the workers have started, and they live on."""
    dataset = build(videos, MIXED)
    loader = DataLoader(
        dataset,
        batch_size=4,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context=context,
        collate_fn=default_collate,
    )
    for epoch in range(3):
        if epoch == 1:
            dataset.bad_files.path = tmp_path / "bad.txt"
        for batch in loader:
            assert batch["inputs"]["imgs"].shape == (4, 3, 8, 32, 32)
            assert batch["inputs"]["audio"].shape == (4, 1, 40, 100)
            assert {sample.sample_idx for sample in batch["data_samples"]} <= {0, 1, 6, 7}
    lines = (tmp_path / "bad.txt").read_text().splitlines()
    assert {Path(line.split("\t")[0]).name for line in lines} == {
        "empty.mp4",
        "text.mp4",
        "gone.mp4",
        "silent.mp4",
    }
    assert len(lines) == 4
    assert dataset.bad_files.count >= 3 * 4


def test_bad_file_log(tmp_path):
    first, second = BadFileLog(), BadFileLog()
    assert first.path is None
    assert first.add("early.mp4", "found before\nthe path is known")
    path = tmp_path / "a" / "list.txt"
    first.path = second.path = path
    assert first.path == path
    assert not first.add("early.mp4", "again")
    assert not second.add("early.mp4", "other process")
    assert second.add("räksmörgås\udcff.mp4", "tab\tinside")
    assert first.add("third.mp4", "x")
    assert not first.add("räksmörgås\udcff.mp4", "y")
    assert path.read_bytes().decode("utf-8", "surrogateescape").splitlines() == [
        "early.mp4\tfound before the path is known",
        "räksmörgås\udcff.mp4\ttab inside",
        "third.mp4\tx",
    ]
    assert (first.count, second.count) == (4, 2)
    with pytest.raises(ValueError, match="too long"):
        first.path = "x" * 5000


def _note_all(path: Path, barrier: Barrier) -> None:
    log = BadFileLog()
    log.add("early.mp4", "met by all before the path is known")
    log.path = path
    for i in range(50):
        barrier.wait()
        log.add(f"{i}.mp4", "met by all at the same moment")


def test_processes_note_a_file_once(tmp_path):
    path = tmp_path / "list.txt"
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_note_all, args=(path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = path.read_text().splitlines()
    names = [line.split("\t")[0] for line in lines]
    assert sorted(names) == sorted(["early.mp4", *(f"{i}.mp4" for i in range(50))])
