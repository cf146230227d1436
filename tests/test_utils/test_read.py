"""Damaged, empty and foreign files: each message names the file."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from cmac_mm.preparation.annotations import read_audioset, read_esc50
from cmac_mm.preparation.annotations.tables import read_table
from cmac_mm.utils import read_array, read_arrays, read_json, read_lines, split_lines


def test_lines_end_at_line_ends_alone(tmp_path):
    odd = "\u2028 \u2029 \x85 \f \v \x1c \x1d \x1e"
    assert split_lines(f"a{odd}\nb\r\nc\rd") == [f"a{odd}", "b", "c", "d"]
    assert split_lines("") == []
    assert split_lines("\n") == [""]
    assert split_lines("a\n\n") == ["a", ""]
    (tmp_path / "x.txt").write_bytes(f"\ufeffa{odd}\r\nb".encode())
    assert read_lines(tmp_path / "x.txt") == [f"a{odd}", "b"]


def test_json(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}
    for content in (b"", b'{"a": ', b"\xff\xfe{\x00"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.json"):
            read_json(path)


def test_arrays(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(tmp_path / "x.npy", values)
    np.savez_compressed(tmp_path / "x.npz", a=values, b=values)
    whole = (tmp_path / "x.npy").read_bytes(), (tmp_path / "x.npz").read_bytes()
    assert (read_array(tmp_path / "x.npy") == values).all()
    assert isinstance(read_array(tmp_path / "x.npy", "r"), np.memmap)
    assert {name: a.tolist() for name, a in read_arrays(tmp_path / "x.npz").items()} == {
        name: values.tolist() for name in "ab"
    }
    for kind, read, content in (("npy", read_array, whole[0]), ("npz", read_arrays, whole[1])):
        path = tmp_path / f"half.{kind}"
        for length in (0, 5, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:length])
            with pytest.raises(ValueError, match=rf"half\.{kind}: incomplete or not a NumPy file"):
                read(path)
            if kind == "npy":
                with pytest.raises(ValueError, match=r"half\.npy: incomplete or not a NumPy file"):
                    read(path, "r")
        path.write_bytes(b"path label\n" * 20)
        with pytest.raises(ValueError, match=rf"half\.{kind}: incomplete or not a NumPy file"):
            read(path)
        with pytest.raises(FileNotFoundError, match=rf"gone\.{kind}"):
            read(tmp_path / f"gone.{kind}")
    path = tmp_path / "flipped.npz"
    flipped = bytearray(whole[1])
    flipped[70] ^= 0xFF  # in the compressed data
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"flipped\.npz"):
        read_arrays(path)
    with pytest.raises(ValueError, match=r"x\.npz: expected one array"):
        read_array(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"x\.npy: expected an archive"):
        read_arrays(tmp_path / "x.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects\.npy"):
        read_array(tmp_path / "objects.npy")


def test_tables(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("\ufefffile,class\r\na\u2028.wav,bus\r\n".encode())
    assert list(read_table(path, ("file", "class"))) == [
        (2, {"file": "a\u2028.wav", "class": "bus"})
    ]
    for content, message in (
        (b"", r"x\.csv: expected a csv table with columns file, class, .* has none"),
        (b"file,kind\na,b\n", r"x\.csv: .*columns file, class, .* has file, kind"),
        (b"file,class\na\n", r"x\.csv, line 2: expected 2 fields"),
        ("file,class\na,b\nmås,b\n".encode("latin-1"), r"x\.csv, line 3: expected text in UTF-8"),
        (b'file,class\n"a' + b"x" * (csv.field_size_limit() + 1) + b"\n", r"x\.csv, line 2"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            list(read_table(path, ("file", "class")))
    with pytest.raises(ValueError, match="is a folder: expected a csv table"):
        list(read_table(tmp_path, ("file", "class")))
    with pytest.raises(ValueError, match="is a folder: expected a csv table"):
        read_esc50(tmp_path)
    segments = tmp_path / "eval_segments.csv"
    segments.write_bytes('# YTID\nabc, 0, 10, "m\xe5s"\n'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"eval_segments\.csv, line 2: expected text in UTF-8"):
        read_audioset(tmp_path)
