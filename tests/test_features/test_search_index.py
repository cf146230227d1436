"""The search index: exact, incremental, and all of a change or nothing."""

import os
import shutil
import signal
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from cmac_mm.features import Hit, SearchIndex

ABOUT = dict(model="a", fingerprint="1")


def vectors(seed, count, length=6):
    return np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)


def slow_search(files, modality, query, count, without=()):
    """Every clip of every file, one at a time."""
    best = []
    for path, (starts, parts) in files.items():
        if path in without or modality not in parts:
            continue
        cosines = [
            float(x @ query / np.linalg.norm(x) / np.linalg.norm(query)) for x in parts[modality]
        ]
        place = int(np.argmax(cosines))
        best.append(Hit(path, starts[place], cosines[place]))
    return sorted(best, key=lambda hit: -hit.similarity)[:count]


def check(index, files, **options):
    for modality in ("visual", "audio"):
        for seed in range(5):
            query = vectors(100 + seed, 1)[0]
            found = index.search(modality, query, **options)
            expected = slow_search(files, modality, query, **{"count": 10, **options})
            assert [(hit.path, hit.start) for hit in found] == [
                (hit.path, hit.start) for hit in expected
            ]
            np.testing.assert_allclose(
                [hit.similarity for hit in found],
                [hit.similarity for hit in expected],
                atol=1e-6,
            )


@pytest.fixture
def files():
    """Long and short files, with and without sound, by names of all kinds."""
    names = ["/a b.mp4", "/ä.mp4", os.fsdecode(b"/\xff.avi"), *(f"/{i}.mp4" for i in range(30))]
    found = {}
    for number, name in enumerate(names):
        count = 200 if number == 3 else 1 + number % 4
        parts = dict(visual=vectors(number, count))
        if number % 5:
            parts["audio"] = vectors(1000 + number, count)
        found[name] = (np.arange(count) * 0.5, parts)
    return found


def fill(index, files):
    for name, (starts, parts) in files.items():
        index.add(name, 7, starts, parts)


def test_against_a_slow_search(tmp_path, files):
    with SearchIndex(tmp_path, ABOUT) as index:
        fill(index, files)
        check(index, files)
        index.save()
    with SearchIndex(tmp_path) as index:
        assert len(index) == sum(len(starts) for starts, _ in files.values())
        assert index.modalities == ("visual", "audio") and index.made_by == ABOUT
        assert index.stamps() == dict.fromkeys(files, 7)
        check(index, files)
        check(index, files, count=3, without=("/3.mp4", "/0.mp4"))
        check(index, files, count=1000)  # more than there are


def test_forgetting_and_adding_again(tmp_path, files):
    with SearchIndex(tmp_path, ABOUT) as index:
        fill(index, files)
        index.save()
    with SearchIndex(tmp_path, ABOUT) as index:
        gone = list(files)[1::3]
        index.forget(gone)
        rest = {name: parts for name, parts in files.items() if name not in gone}
        check(index, rest)
        again = {gone[0]: (np.arange(2.0), dict(visual=vectors(77, 2), audio=vectors(78, 2)))}
        fill(index, again)
        index.add("/broken.mp4", 3, np.zeros(0), {}, "cannot be opened")
        index.save()
    with SearchIndex(tmp_path) as index:
        check(index, {**rest, **again})
        assert index.problems() == {"/broken.mp4": "cannot be opened"}
        index_files = sorted(path.name for path in tmp_path.iterdir())
        assert index_files == ["audio-2.faiss", "index.sqlite", "visual-2.faiss"]


def test_what_was_not_saved_was_not(tmp_path, files):
    with SearchIndex(tmp_path, ABOUT) as index:
        fill(index, files)
        index.save()
        index.forget(list(files)[:10])
        index.add("/new.mp4", 1, np.zeros(1), dict(visual=vectors(5, 1)))
    with SearchIndex(tmp_path) as index:
        check(index, files)


def die_while_saving(folder, moment):
    """In a process of its own: replaces all files, and is killed inside ``save``."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    index = SearchIndex(folder, ABOUT)
    index.forget(list(index.stamps()))
    index.add("/new.mp4", 1, np.zeros(1), dict(visual=np.ones((1, 6), np.float32)))
    if moment == "before the rows":
        index._rows.set_trace_callback(lambda text: die() if text.startswith("COMMIT") else None)
    else:
        Path.unlink = die
    index.save()


@pytest.mark.parametrize("moment", ["before the rows", "after the rows"])
def test_a_process_killed_while_it_writes(tmp_path, files, moment):
    with SearchIndex(tmp_path, ABOUT) as index:
        fill(index, files)
        index.save()
    process = get_context("fork").Process(target=die_while_saving, args=(tmp_path, moment))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with SearchIndex(tmp_path, ABOUT) as index:
        if moment == "before the rows":
            check(index, files)
        else:
            assert list(index.stamps()) == ["/new.mp4"]
            assert [hit.path for hit in index.search("visual", np.ones(6))] == ["/new.mp4"]
        index.save()
    kept = [path for path in tmp_path.iterdir() if path.suffix == ".faiss"]
    assert len(kept) == 2, kept


def test_another_model_is_refused(tmp_path, files):
    with SearchIndex(tmp_path, ABOUT) as index:
        fill(index, files)
        index.save()
    with pytest.raises(
        ValueError,
        match=r"made by another model \(model a, fingerprint 1\) than this one \(model b",
    ):
        SearchIndex(tmp_path, dict(model="b", fingerprint="2"))
    with SearchIndex(tmp_path, ABOUT) as index:  # the lock was given back
        check(index, files)


def test_mistakes_are_named(tmp_path, files):
    with pytest.raises(FileNotFoundError, match=r"index\.sqlite: there is no index"):
        SearchIndex(tmp_path / "none")
    with SearchIndex(tmp_path, ABOUT) as index:
        with pytest.raises(ValueError, match="has no audio vectors"):
            index.search("audio", np.ones(6))
        index.add("/a.mp4", 1, np.zeros(1), dict(visual=vectors(0, 1)))
        with pytest.raises(ValueError, match=r"query of shape \(5,\).* have 6 values"):
            index.search("visual", np.ones(5))
        with pytest.raises(ValueError, match=r"/b\.mp4: visual vectors of 5 values, .* have 6"):
            index.add("/b.mp4", 1, np.zeros(1), dict(visual=vectors(0, 1, 5)))
        with pytest.raises(ValueError, match=r"/b\.mp4: expected 2 finite visual vectors"):
            index.add("/b.mp4", 1, np.zeros(2), dict(visual=vectors(0, 1)))
        with pytest.raises(ValueError, match=r"/b\.mp4: expected 1 finite visual vectors"):
            index.add("/b.mp4", 1, np.zeros(1), dict(visual=np.full((1, 6), np.nan)))
        index.save()
    for name, message in (("visual-1.faiss", "no faiss index"), ("index.sqlite", "no index")):
        copy = tmp_path.with_name(f"{tmp_path.name}-{name}")
        shutil.copytree(tmp_path, copy)
        (copy / name).write_bytes(b"not this")
        with pytest.raises(ValueError, match=rf"{name}: damaged, or {message}"):
            SearchIndex(copy)
