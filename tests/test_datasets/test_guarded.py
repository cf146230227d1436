"""Processes really hang and die here: no loading goes down with them, and nothing is left over."""

from __future__ import annotations

import copy
import copyreg
import ctypes
import gc
import os
import pickle
import random
import signal
import sys
import threading
import time
from functools import partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.dataset import worker_init_fn
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from cmac_mm.datasets import MediaError
from cmac_mm.datasets.guarded import Guard, ProcessLost
from cmac_mm.datasets.samplers.resumable_sampler import SampleIndex

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.timeout(120),
]

PIPELINE = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0),
    dict(type="DecodeAudioVisual", fps=8, short_side=36, sample_rate=8000),
    dict(type="LogMelSpectrogram", sample_rate=8000, num_mels=40, hop_length=80, n_fft=1024),
    dict(type="PackAudioVisual"),
]


def crash() -> None:
    ctypes.string_at(0)


def hang() -> None:
    """In C, where no exception and no Python signal handler gets through."""
    ctypes.PyDLL(None).sleep(1000)


class BadDecoder:
    """A transform that takes its process down on some files."""

    def __init__(self, **faults: object) -> None:
        self.faults = faults

    def __call__(self, results: dict) -> dict:
        fault = self.faults.get(Path(results["filename"]).stem)
        if fault is not None:
            fault()
        return results


def processes() -> dict[int, str]:
    """State of all processes of this group, by their numbers."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == os.getpgrp():
            found[int(path.parent.name)] = state
    return found


def resources() -> tuple[set[int], int, int]:
    """Processes, open files and shared mappings."""
    gc.collect()
    maps = Path("/proc/self/maps").read_text().splitlines()
    shared = sum(line.split()[1].endswith("s") for line in maps)
    return set(processes()), len(list(Path("/proc/self/fd").iterdir())), shared


def assert_none_added(before: tuple[set[int], int, int]) -> None:
    """Wait for them, if need be: threads of a DataLoader's queues end a moment later than it."""
    end = time.monotonic() + 10
    while (found := resources())[1:] != before[1:] and time.monotonic() < end:
        time.sleep(0.1)
    # Those of tests before may only just have gone.
    assert found[0] <= before[0]
    assert found[1:] == before[1:]


def draw(kind: str) -> list[float]:
    if kind == "crash":
        crash()
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_results_are_what_the_function_returns():
    def give(kind: str) -> object:
        return dict(
            imgs=torch.arange(24, dtype=torch.uint8).view(2, 3, 4),
            columns=torch.arange(6.0).view(2, 3).t(),
            half=torch.ones(3, dtype=torch.bfloat16),
            scalar=torch.tensor(3),
            nothing=torch.zeros(0, 2),
            array=np.arange(5)[::2],
            parameter=torch.nn.Parameter(torch.ones(2)),
            text=kind,
        )

    guard = Guard(20)
    for _ in range(2):
        got, expected = guard(give, "räk"), give("räk")
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert type(got[key]) is type(value)
        torch.testing.assert_close(got.pop("parameter"), expected.pop("parameter"))
        assert got.pop("text") == expected.pop("text")
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_a_result_is_not_touched_by_the_next_one():
    guard = Guard(20)
    first = guard(partial(torch.full, (100, 100)), 1.0)
    second = guard(partial(torch.full, (100, 100)), 2.0)
    first += 10
    assert (first == 11).all()
    assert (second == 2).all()


def test_results_of_any_size():
    """The largest is beyond the shared memory."""
    guard = Guard(60)
    for size in (0, 1, 1 << 20, 1 << 26, (1 << 26) + 1):
        result = guard(partial(torch.ones, dtype=torch.uint8), size)
        assert result.shape == (size,)
        assert result.all()


def test_exceptions_keep_type_message_and_traceback():
    class Odd(Exception):  # cannot be pickled, being local
        pass

    def fail(kind: str) -> object:
        if kind == "media":
            raise MediaError("a.mp4", "silent")
        if kind == "key":
            raise KeyError("lost")
        if kind == "odd":
            raise Odd("strange")
        return lambda: None

    guard = Guard(20)
    with pytest.raises(MediaError, match=r"a\.mp4: silent") as caught:
        guard(fail, "media")
    assert (caught.value.filename, caught.value.reason) == ("a.mp4", "silent")
    assert "in fail" in str(caught.value.__cause__)
    with pytest.raises(KeyError, match="lost"):
        guard(fail, "key")
    with pytest.raises(RuntimeError, match="Odd: strange") as caught:
        guard(fail, "odd")
    assert 'raise Odd("strange")' in str(caught.value.__cause__)
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        guard(fail, "a result that cannot be pickled")


class Refused(Exception):
    pass


def refused(args, cause):
    error = Refused(*args)
    error.__cause__ = cause
    return error


def test_causes_of_exceptions_stay_behind(monkeypatch):
    """Where errors are pickled with their causes, as Dask asks for, these may hold open files."""

    def fail(path: str) -> None:
        with Path(path).open("rb") as file:
            cause = OSError("gone")
            cause.file = file
            raise Refused(path) from cause

    def reduce(error):
        return refused, (error.args, error.__cause__ and error.__cause__.file)

    monkeypatch.setitem(copyreg.dispatch_table, Refused, reduce)
    with pytest.raises(Refused) as caught:
        Guard(20)(fail, __file__)
    assert "OSError: gone" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (crash, r"died \(signal 11, SIGSEGV\)"),
        (os.abort, r"died \(signal 6, SIGABRT\)"),
        (partial(os._exit, 3), r"exited with status 3"),
    ],
)
def test_death_is_noticed_at_once(fault, message):
    def work(bad: bool) -> str:
        if bad:
            fault()
        return "done"

    guard = Guard(100)
    begin = time.monotonic()
    for _ in range(3):
        assert guard(work, False) == "done"
        with pytest.raises(ProcessLost, match=message):
            guard(work, True)
    assert time.monotonic() - begin < 20


def test_killed_by_the_system():
    """As by Linux when memory runs out; while it waits, that is no fault of the next file."""
    guard = Guard(100)
    with pytest.raises(ProcessLost, match=r"died \(signal 9, SIGKILL, out of memory\?\)"):
        guard(lambda _: os.kill(os.getpid(), signal.SIGKILL), None)
    child = guard(lambda _: os.getpid(), None)
    os.kill(child, signal.SIGKILL)
    while processes()[child] != "Z":
        time.sleep(0.01)
    assert guard(lambda _: os.getpid(), None) != child


def test_where_children_are_not_waited_for():
    """With SIGCHLD ignored, what a child died of is not told."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        guard = Guard(100)
        with pytest.raises(ProcessLost, match="died"):
            guard(lambda _: crash(), None)
        child = guard(lambda _: os.getpid(), None)
        os.kill(child, signal.SIGKILL)
        while child in processes():
            time.sleep(0.01)
        assert guard(lambda _: os.getpid(), None) != child
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_hang_ends_with_the_time_limit():
    guard = Guard(0.5)
    for _ in range(2):
        begin = time.monotonic()
        with pytest.raises(ProcessLost, match=r"hung for more than 0\.5 s"):
            guard(lambda bad: hang() if bad else 7, True)
        assert 0.5 <= time.monotonic() - begin < 3
        assert guard(lambda bad: hang() if bad else 7, False) == 7


def test_an_interruption_takes_no_answer_for_another():
    guard = Guard(100)

    def work(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        guard(work, 1.0)
    assert guard(work, 0.0) == 0.0


def test_random_draws_are_not_repeated_and_follow_the_seed():
    def run() -> list[list[float]]:
        np.random.seed(5)
        guard, values = Guard(20), []
        for kind in ("", "", "crash", "", "crash", "crash", ""):
            try:
                values.append(guard(draw, kind))
            except ProcessLost:
                continue
        return values

    first = run()
    state = np.random.get_state()[1]
    assert first == run()
    np.random.seed(5)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for column in zip(*first, strict=True):
        assert len(set(column)) == 4


def test_each_thread_has_its_own_child():
    guard, children = Guard(20), []

    def ask() -> None:
        pids = {guard(lambda _: os.getpid(), None) for _ in range(20)}
        children.append(pids)

    before = set(processes())
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ask()
    assert [len(pids) for pids in children] == [1] * 4
    assert len(set.union(*children)) == 4
    gc.collect()
    assert set(processes()) - before == children[-1]


def test_copies_and_pickles():
    guard = Guard(7.5)
    own = guard(lambda _: os.getpid(), None)
    for other in (copy.deepcopy(guard), copy.copy(guard), pickle.loads(pickle.dumps(guard))):
        assert other.time_limit == 7.5
        assert other(lambda _: os.getpid(), None) != own
    assert guard(lambda _: os.getpid(), None) == own


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_bad_limits(limit):
    with pytest.raises(ValueError, match="time_limit must be positive"):
        Guard(limit)


def test_nothing_is_left_over():
    before = resources()
    for _ in range(2):
        guard = Guard(1.5)
        for fault in (crash, hang):
            assert guard(lambda fault: fault and fault(), None) is None
            with pytest.raises(ProcessLost):
                guard(lambda fault: fault and fault(), fault)
        assert guard(lambda fault: fault and fault(), None) is None
        assert len(resources()[0] - before[0]) == 1
        del guard
    assert_none_added(before)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_child_dies_with_its_parent(how):
    """Even while it hangs."""

    def work(sender: Connection) -> None:
        sender.send(os.getpid())
        hang()

    receiver, sender = Pipe(duplex=False)
    parent = get_context("fork").Process(target=lambda: Guard(1000)(work, sender))
    parent.start()
    sender.close()
    child = receiver.recv()
    assert processes().keys() >= {parent.pid, child}
    os.kill(parent.pid, how)
    # The pipe ends only when all processes that could write to it have gone.
    with pytest.raises(EOFError):
        receiver.recv()
    parent.join()
    assert parent.exitcode != 0


@pytest.fixture(scope="module")
def files(media_dir) -> list[Path]:
    return sorted((media_dir / "grid_mini").glob("*.mpg"))[:10]


def build(files: list[Path], tmp_path: Path, faults: dict, **kwargs: object) -> object:
    ann_file = tmp_path / "list.txt"
    ann_file.write_text("".join(f"{path}\n" for path in files))
    pipeline = [PIPELINE[0], BadDecoder(**faults), *PIPELINE[1:]]
    with DefaultScope.overwrite_default_scope("mmaction"):
        dataset = DATASETS.build(
            dict(type="AudioVisualDataset", ann_file=str(ann_file), pipeline=pipeline, **kwargs)
        )
    dataset.bad_files.path = tmp_path / "bad_files.txt"
    return dataset


def load(dataset: object, seed: int = 0, epochs: int = 2) -> list[list[dict]]:
    """All samples of some epochs, by two workers that live on."""
    init = partial(worker_init_fn, num_workers=2, rank=0, seed=seed)
    loader = DataLoader(
        dataset,
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        worker_init_fn=init,
        generator=torch.Generator().manual_seed(seed),
    )
    return [list(loader) for _ in range(epochs)]


def test_training_goes_on_when_decoders_hang_and_die(files, tmp_path):
    faults = {files[2].stem: crash, files[5].stem: hang, files[9].stem: os.abort}
    dataset = build(files, tmp_path, faults, time_limit=3)
    before = resources()
    begin = time.monotonic()
    epochs = load(dataset)
    spent = time.monotonic() - begin
    bad = {2, 5, 9}
    for samples in epochs:
        rows = [sample["data_samples"].sample_idx for sample in samples]
        assert all(row == i for i, row in enumerate(rows) if i not in bad)
        assert not bad & set(rows)
        assert all(sample["inputs"]["imgs"].shape == (3, 8, 36, 44) for sample in samples)
        assert all(sample["inputs"]["audio"].shape == (1, 40, 100) for sample in samples)
    lines = (tmp_path / "bad_files.txt").read_text().splitlines()
    reasons = dict(line.split("\t") for line in lines)
    assert reasons == {
        str(files[2]): "the loading process died (signal 11, SIGSEGV)",
        str(files[5]): "the loading process hung for more than 3 s",
        str(files[9]): "the loading process died (signal 6, SIGABRT)",
    }
    # Some more where a file drawn in place of a bad one was bad itself.
    count = dataset.bad_files.count
    assert 6 <= count <= 12
    assert 2 * 3 <= spent < 3 * count + 20
    del epochs, samples
    assert_none_added(before)


def test_the_same_seed_loads_the_same_clips(files, tmp_path):
    faults = {files[2].stem: crash, files[3].stem: crash}
    runs = []
    for seed in (0, 0, 7):
        first, second = load(build(files, tmp_path, faults, time_limit=60), seed)
        samples = [*first, *second]
        runs.append([(s["inputs"]["imgs"], s["data_samples"].clip_start) for s in samples])
    for (imgs, start), (imgs_again, start_again) in zip(runs[0], runs[1], strict=True):
        assert start == start_again
        assert torch.equal(imgs, imgs_again)
    starts = [[start[0] for _, start in run] for run in runs]
    assert len(set(starts[0])) == len(starts[0])
    assert not set(starts[0]) & set(starts[2])


def refuse() -> None:
    raise MediaError("a file", "refused")


def test_samples_are_those_loaded_without_a_guard(files, tmp_path):
    """Where indices carry seeds; also what comes in place of a file, however it was lost."""
    samples = []
    for limit, fault in ((None, refuse), (60, refuse), (60, crash)):
        dataset = build(files, tmp_path, {files[1].stem: fault}, time_limit=limit)
        samples.append([dataset[SampleIndex(i, 10 * i, 8, 0)] for i in (1, 0, 1, 2, 3)])
    assert {sample["data_samples"].sample_idx for sample in samples[0]} >= {0, 2, 3}
    for plain, *others in zip(*samples, strict=True):
        for other in others:
            torch.testing.assert_close(other["inputs"], plain["inputs"], rtol=0, atol=0)
            assert other["data_samples"].to_dict() == plain["data_samples"].to_dict()


def test_loss_is_an_error_in_tests_and_on_request(files, tmp_path):
    for kwargs in (dict(test_mode=True), dict(on_error="raise")):
        dataset = build(files, tmp_path, {files[1].stem: crash}, time_limit=60, **kwargs)
        assert dataset[0]["data_samples"].sample_idx == 0
        match = rf"{files[1].name}: the loading process died.*SIGSEGV.*check_videos\.py"
        with pytest.raises(MediaError, match=match):
            dataset[1]


def test_mistakes_in_a_pipeline_stay_what_they_are(files, tmp_path):
    dataset = build(files, tmp_path, {files[0].stem: lambda: [][0]}, time_limit=60)
    with pytest.raises(IndexError, match="list index out of range"):
        dataset[0]
    assert dataset.bad_files.count == 0


def test_a_used_data_set_goes_to_workers(files, tmp_path):
    """Its child here is not theirs, and it works on here."""
    dataset = build(files[:4], tmp_path, {}, time_limit=60)
    assert dataset[0]["data_samples"].sample_idx == 0
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    assert [sample["data_samples"].sample_idx for sample in loader] == [0, 1, 2, 3]
    assert dataset[1]["data_samples"].sample_idx == 1
    # As for workers that are spawned.
    assert pickle.loads(pickle.dumps(dataset))[2]["data_samples"].sample_idx == 2
    assert copy.deepcopy(dataset)[3]["data_samples"].sample_idx == 3
