"""Lists in arrays, against reading them line by line; files of them that processes share."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import re
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.forks import Forked
from helpers.processes import environment
from mmengine.dataset import RepeatDataset

from cmac_mm.datasets import AudioClipDataset, AudioVisualDataset
from cmac_mm.datasets import list_rows as module
from cmac_mm.datasets.list_rows import ListRows, read_table

TEXT = (
    "\ufeffa b/c.mp4 12\n\n \t plain.mp4\r\n/whole.mp4\t3 \r\n s3://bucket/x y.mp4   007\n"
    "räk\u2028smörgås/北京\u3000.mp4 5\ra\x0bb\x85.mp4\n7\n\ufeffmark.mp4 0\n"
    + "long" * 30
    + ".mp4 2"
)


def by_hand(text: str, prefix: str) -> list[dict]:
    """The documented format, line by line."""
    found = []
    for line in re.split("\r\n|\n|\r", text.removeprefix("\ufeff")):
        line = line.strip(" \t")
        if line:
            path, label = re.fullmatch(r"(?:(.*?)[ \t]+)?([^ \t]+)", line).groups()
            info = dict(filename=path, label=int(label)) if path else dict(filename=label)
            if not (info["filename"].startswith("/") or "://" in info["filename"]):
                info["filename"] = prefix + info["filename"]
            found.append({**info, "row": len(found)})
    return found


def digest_of(paths: list[str]) -> bytes:
    return hashlib.sha256("".join(f"{path}\n" for path in paths).encode()).digest()


@pytest.fixture
def in_files(monkeypatch):
    """Also short lists are kept in files, and read in small parts."""
    monkeypatch.setattr(module, "_LARGE", 0)
    monkeypatch.setattr(module, "_BLOCK", 11)


@pytest.fixture
def ann_file(tmp_path) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes(TEXT.encode())
    return path


@pytest.mark.parametrize("shared", [False, True])
def test_rows_are_those_of_the_lines(ann_file, shared, request):
    if shared:
        request.getfixturevalue("in_files")
    table = read_table(str(ann_file))
    assert (table.file is not None) == shared == (ann_file.parent / ".list.txt.rows").is_file()
    expected = by_hand(TEXT, "some/where/")
    assert len(expected) == 9
    rows = ListRows(table, "some/where/")
    assert list(rows) == expected
    assert [rows[i] for i in range(-9, 0)] == expected
    with pytest.raises(IndexError):
        rows[9]
    assert table.digest == digest_of([info["filename"] for info in by_hand(TEXT, "")])
    assert rows.labels().tolist() == [info.get("label", -1) for info in expected]
    part = rows[2:6]
    assert list(part) == expected[2:6] and list(part[[3, 0]]) == [expected[5], expected[2]]
    labels = [-1, -1, *(info.get("label", -1) for info in expected[2:6]), -1, -1, -1]
    assert part.labels().tolist() == labels
    assert copy.deepcopy(part) is part
    assert list(pickle.loads(pickle.dumps(part))) == expected[2:6]
    assert (len(pickle.dumps(rows)) < 300) == shared  # a worker that is not forked maps the file


def test_digest_and_size_are_of_the_whole_list(tmp_path):
    """Of paths without the prefix, whatever the labels are, also of rows that are left out."""
    ann_file = tmp_path / "list.txt"
    ann_file.write_text("a/x y.mp4 3\n\nb.mp4 1\n/c.mp4 0\n")
    dataset = AudioVisualDataset(str(ann_file), [], dict(video="some/where"), indices=2)
    paths = ["a/x y.mp4", "b.mp4", "/c.mp4"]
    assert len(dataset) == 2 and len(RepeatDataset(dataset, 3)) == 6
    assert dataset.list_size_and_digest() == (3, digest_of(paths))
    assert dataset.list_labels().tolist() == [3, 1, -1]
    second = tmp_path / "fold2.txt"
    second.write_text("d.wav 4\n")
    both = AudioClipDataset([str(ann_file), str(second)], [])
    assert both.list_size_and_digest() == (4, digest_of([*paths, "d.wav"]))
    assert both.list_labels().tolist() == [3, 1, 0, 4]


@pytest.mark.parametrize("indices", [2, -2, [3, 1]])
def test_subsets_are_made_without_lists(ann_file, indices):
    whole = AudioVisualDataset(str(ann_file), [])
    subsets = [whole.get_subset(indices), AudioVisualDataset(str(ann_file), [], indices=indices)]
    chosen = indices if isinstance(indices, list) else list(range(9))[:2] if indices > 0 else [7, 8]
    for subset in subsets:
        assert isinstance(subset.data_list, ListRows)
        assert [subset.get_data_info(i)["sample_idx"] for i in range(2)] == chosen
        names = [subset.get_data_info(i)["filename"] for i in range(2)]
        assert names == [whole.get_data_info(i)["filename"] for i in chosen]


def test_a_changed_list_or_a_damaged_file_is_read_again(ann_file, in_files):
    file = ann_file.with_name(".list.txt.rows")
    before = read_table(str(ann_file))
    written = file.stat().st_mtime_ns
    assert read_table(str(ann_file)).digest == before.digest
    assert file.stat().st_mtime_ns == written
    ann_file.write_text("other.mp4 1\n")
    assert list(ListRows(read_table(str(ann_file)))) == by_hand("other.mp4 1", "")
    assert bytes(before.paths[:10]) == b"a b/c.mp4\n"  # who began with the old one goes on
    with pytest.raises(RuntimeError, match=r"list\.txt\.rows is no longer there, or of another"):
        pickle.loads(pickle.dumps(ListRows(before)))
    for damaged in (b"", b"short", file.read_bytes()[:-1], file.read_bytes()[1:], bytes(500)):
        file.write_bytes(damaged)
        assert list(ListRows(read_table(str(ann_file)))) == by_hand("other.mp4 1", "")
    assert {path.name for path in ann_file.parent.iterdir()} <= {
        "list.txt",
        ".list.txt.rows",
        "..list.txt.rows.lock",
    }


def test_errors_are_those_of_short_lists(tmp_path, in_files):
    ann_file = tmp_path / "list.txt"
    for content, expected in (
        (b"a.mp4 1\n\nb.mp4 cat\n", r"list\.txt, line 3: expected 'path label'"),
        (b"a.mp4 1\n\nb.mp4 4294967296\n", r"line 3: expected .* from 0 to 2147483647"),
        (b"a.mp4 1\r\nsm\xf6rg\xe5s.mp4 2\n", r"list\.txt, line 2: expected text in UTF-8"),
        (b"a.mp4 1\n\n\nb.mp4 9\n", r"list\.txt, line 4: label 9, expected 0 to 4 \(5 classes\)"),
        (b"\n \n", "lists no files"),
    ):
        ann_file.write_bytes(content)
        with pytest.raises(ValueError, match=expected):
            AudioVisualDataset(str(ann_file), [], num_classes=5)


def test_a_folder_that_cannot_be_written_to(in_files):
    with tempfile.TemporaryDirectory() as folder:
        ann_file = Path(folder, "list.txt")
        ann_file.write_bytes(TEXT.encode())
        Path(folder).chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            table = read_table(str(ann_file))
        finally:
            os.seteuid(user)
            Path(folder).chmod(0o755)
    assert table.file is None and list(ListRows(table)) == by_hand(TEXT, "")


def _read_all(path: str) -> None:
    module._LARGE = 0
    rows = ListRows(read_table(path))
    with Path("/proc/self/smaps_rollup").open() as file:
        before = _private(file.read())
    assert sum(len(rows[i]["filename"]) for i in range(0, len(rows), 7)) > 0
    assert int(rows.labels().sum(dtype=np.int64)) > 0
    with Path("/proc/self/smaps_rollup").open() as file:
        sys.stdout.write(f"grown by {_private(file.read()) - before}\n")  # in one piece


def _private(text: str) -> int:
    """Memory that no other process has a part in, in KiB."""
    return int(re.search(r"Private_Dirty: +(\d+) kB", text)[1])


def test_processes_that_start_at_once_share_one_file(tmp_path):
    """Three write or wait, map the same file, and keep nothing of 200,000 rows for themselves."""
    ann_file = tmp_path / "list.txt"
    lines = (f"some/folder/video_{i:08d}.mp4 {i % 400}\n" for i in range(200_000))
    ann_file.write_text("".join(lines))
    work = [partial(_read_all, str(ann_file))] * 3
    output, _ = Forked(work, sys.path, tmp_path, environment()).communicate(120)
    grown = [int(number) for number in re.findall(r"grown by (-?\d+)", output)]
    assert len(grown) == 3, output
    assert max(grown) < 1500  # of 6.6 MB
    assert output.count("is read into") == 1
