"""The same samples, wherever the files are: on disk, behind HTTP, in LMDB."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from mmaction.registry import DATASETS
from mmengine.registry import DefaultScope
from torch.utils.data import Dataset

from cmac_mm.datasets import MediaError

# Names with a space and other letters than English ones must get through, too.
FILES = {
    "SOX5yA1l24A.mp4": "torchvision_videos/SOX5yA1l24A.mp4",
    "v_BasketballDunk_g07_c02.avi": "nasty/ucf101__v_BasketballDunk_g07_c02.avi",
    "a b/räk 100%.mpg": "grid_mini/bbaf2n.mpg",
    "video_desks.3gp": "nasty/exoplayer__video_desks.3gp",
}


@pytest.fixture(scope="module")
def folder(media_dir, tmp_path_factory) -> Path:
    """The files, a list of them, and one that is no video."""
    folder = tmp_path_factory.mktemp("files")
    for name, source in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(media_dir / source, folder / name)
    (folder / "text.mp4").write_text("not a video")
    lines = [f"{name} {i}\n" for i, name in enumerate([*FILES, "gone.mp4", "text.mp4"])]
    (folder / "list.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def server(folder) -> Iterator[str]:
    """Address of a server of the files."""
    handler = partial(QuietHandler, directory=str(folder))
    with serving(handler) as address:
        yield address


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


class BadHandler(BaseHTTPRequestHandler):
    """Half of what was promised, an error, a lost connection, or nothing at all."""

    def do_GET(self) -> None:
        if "half" in self.path:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(500))
        elif "busy" in self.path:
            self.send_error(503)
        elif "slow" in self.path:
            time.sleep(6)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(handler: object) -> Iterator[str]:
    """Address of a server that runs in a thread."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def build(ann_file: Path | str, prefix: Path | str, storage: dict | None, **kwargs) -> Dataset:
    pipeline = [
        dict(type="OpenAudioVisual", backend_args=storage),
        dict(type="SampleClips", duration=1.0),
        dict(type="DecodeAudioVisual", fps=10, short_side=72),
        dict(type="PerClip", transforms=[dict(type="RandomCrop", size=64), dict(type="Flip")]),
        dict(type="LogMelSpectrogram", num_mels=80),
        dict(type="SpecAugment"),
        dict(type="PackAudioVisual"),
    ]
    settings = dict(on_error="raise", data_prefix=dict(video=str(prefix)), pipeline=pipeline)
    with DefaultScope.overwrite_default_scope("mmaction"):
        return DATASETS.build(
            dict(type="AudioVisualDataset", ann_file=str(ann_file), **settings, **kwargs)
        )


def load(dataset: Dataset, indices: range) -> list[dict]:
    samples = []
    for i in indices:
        np.random.seed(i)
        torch.manual_seed(i)
        samples.append(dataset[i])
    return samples


def assert_same(samples: list[dict], others: list[dict]) -> None:
    for a, b in zip(samples, others, strict=True):
        torch.testing.assert_close(a["inputs"], b["inputs"], rtol=0, atol=0)
        assert torch.equal(a["data_samples"].gt_label, b["data_samples"].gt_label)
        assert a["data_samples"].clip_start == b["data_samples"].clip_start


@pytest.fixture(scope="module")
def local(folder) -> list[dict]:
    return load(build(folder / "list.txt", folder, None), range(len(FILES)))


def test_http(folder, server, local):
    """The list comes from the server, too."""
    backend = dict(backend="http")
    dataset = build(f"{server}/list.txt", server, backend, backend_args=backend)
    assert_same(load(dataset, range(4)), local)
    assert dataset[2]["data_samples"].filename == f"{server}/a b/räk 100%.mpg"
    # The address tells the storage, too.
    assert_same(load(build(folder / "list.txt", server, None), range(4)), local)
    with pytest.raises(MediaError, match=rf"{server}/gone\.mp4: cannot be fetched .*404"):
        dataset[4]
    with pytest.raises(MediaError, match=rf"{server}/text\.mp4: cannot be opened .*Invalid data"):
        dataset[5]


def test_http_in_a_guarded_process(folder, server, local):
    dataset = build(folder / "list.txt", server, None, time_limit=60)
    for i in range(4):
        assert dataset[i]["inputs"]["imgs"].shape == local[i]["inputs"]["imgs"].shape
    with pytest.raises(MediaError, match=r"cannot be fetched .*404"):
        dataset[4]


def test_servers_that_fail(tmp_path):
    names = ["half.mp4", "busy.mp4", "lost.mp4", "slow.mp4"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    with serving(BadHandler) as address:
        dataset = build(tmp_path / "list.txt", address, None, time_limit=2)
        for i, problem in enumerate(["IncompleteRead", "503", "without response"]):
            match = rf"{address}/{names[i]}: cannot be fetched .*{problem}"
            with pytest.raises(MediaError, match=match):
                dataset[i]
        with pytest.raises(MediaError, match=rf"{address}/slow\.mp4: .* hung for more than 2 s"):
            dataset[3]
    with pytest.raises(MediaError, match=rf"{address}/half\.mp4: cannot be fetched .*refused"):
        dataset[0]


def test_lmdb(folder, local, tmp_path):
    database = lmdb.open(str(tmp_path / "db"), map_size=1 << 26)
    with database, database.begin(write=True) as transaction:
        for name in FILES:
            key = name.replace("räk", "rak")
            transaction.put(f"videos/{key}".encode(), (folder / name).read_bytes())
        transaction.put(b"videos/text.mp4", b"not a video")
    text = (folder / "list.txt").read_text(encoding="utf-8")
    (tmp_path / "list.txt").write_text(text.replace("räk", "rak") + "räk.mp4 5\n", "utf-8")
    backend = dict(backend="lmdb", db_path=str(tmp_path / "db"))
    for limit in (None, 60):
        dataset = build(tmp_path / "list.txt", "videos", backend, time_limit=limit)
        samples = load(dataset, range(4))
        if limit is None:
            assert_same(samples, local)
        with pytest.raises(MediaError, match=r"^videos/gone\.mp4: .*no such entry"):
            dataset[4]
        with pytest.raises(MediaError, match=r"^videos/text\.mp4: cannot be opened .*Invalid"):
            dataset[5]
        with pytest.raises(MediaError, match=r"^videos/räk\.mp4: cannot be fetched .*ascii"):
            dataset[6]


def test_an_entry_that_is_not_in_lmdb_is_not_read_from_disk(folder, tmp_path, monkeypatch):
    lmdb.open(str(tmp_path / "db")).close()
    backend = dict(backend="lmdb", db_path=str(tmp_path / "db"))
    monkeypatch.chdir(folder)
    with pytest.raises(MediaError, match=r"SOX5yA1l24A\.mp4: .*no such entry"):
        build(folder / "list.txt", "", backend)[0]


def test_a_database_that_is_not_there_is_no_bad_file(folder, tmp_path):
    backend = dict(backend="lmdb", db_path=str(tmp_path / "nowhere"))
    for limit in (None, 60):
        with pytest.raises(lmdb.Error, match="nowhere"):
            build(folder / "list.txt", "", backend, time_limit=limit)[0]
