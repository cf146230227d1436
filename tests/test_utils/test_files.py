"""Writing where there is no room: the error names the file, and no half file counts."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from helpers.little_room import with_room_for
from matplotlib.figure import Figure

from cmac_mm.datasets.bad_files import BadFileLog
from cmac_mm.features.export import write_csv, write_thumos_h5
from cmac_mm.utils import write_npy, write_text
from cmac_mm.utils.files import append_line, replacing
from cmac_mm.visualization.browse import SeenClip, save_clip
from cmac_mm.visualization.sheet import save_figure

RANDOM = np.random.default_rng(0)
FRAMES = RANDOM.integers(0, 255, (12, 64, 64, 3), dtype=np.uint8)
CLIP = SeenClip("noise", frames=FRAMES, times=np.arange(12) / 12)
ROWS = RANDOM.standard_normal((200, 64)).astype(np.float32)


def write_h5(path):
    source = path.parents[1] / "source.npy"
    if not source.exists():
        write_npy(source, ROWS)
    info = dict(times=np.arange(200) / 4, fps=25.0, duration_frame=1250)
    write_thumos_h5(path.parent, {"video_val_1": (source, info)})


def write_figure(path):
    figure = Figure()
    figure.subplots().imshow(FRAMES[0])
    save_figure(figure, path)


WRITERS = {
    "text.txt": lambda path: write_text(path, "word " * 10000),
    "rows.csv": lambda path: write_csv(path, ROWS),
    "rows.npy": lambda path: write_npy(path, ROWS),
    "clip.mp4": partial(save_clip, CLIP),
    "figure.png": write_figure,
    "rgb_val.h5": write_h5,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.3, 0.99])
def test_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, name, share):
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    WRITERS[name](whole)
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / name).write_bytes(b"old")
    error = with_room_for(int(share * whole.stat().st_size), lambda: WRITERS[name](folder / name))
    assert str(error).startswith(f"RuntimeError: {folder / name}: no room")
    assert (folder / name).read_bytes() == b"old"
    assert not list(folder.glob(".*"))
    WRITERS[name](folder / name)
    assert (folder / name).stat().st_size == whole.stat().st_size


def test_other_errors_and_kills_leave_nothing(tmp_path):
    with pytest.raises(KeyError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise KeyError
    with pytest.raises(OSError, match="gone"), replacing(tmp_path / "file"):
        raise OSError(5, "gone")
    assert not list(tmp_path.iterdir())


def test_a_line_is_added_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "notes/lines.txt"
    append_line(path, "a" * 50)
    error = with_room_for(80, lambda: append_line(path, "b" * 50))
    assert f"{path}: no room" in str(error)
    assert path.read_text() == "a" * 50 + "\n"
    append_line(path, "\udcff")
    assert path.read_bytes() == b"a" * 50 + b"\n\xff\n"


def test_list_of_bad_files_has_no_half_lines(tmp_path):
    log = BadFileLog()
    log.path = tmp_path / "bad.txt"
    log.add("one.mp4", "is silent")
    error = with_room_for(30, lambda: log.add("two.mp4", "is silent"))
    assert f"{tmp_path}/bad.txt: no room" in str(error)
    log.add("three.mp4", "is silent")
    assert log.path.read_text() == "one.mp4\tis silent\nthree.mp4\tis silent\n"


def test_converted_weights_and_settings_are_whole_or_absent(tmp_path):
    from cmac_mm.apis import convert_checkpoint
    from cmac_mm.models import R2Plus1D
    from cmac_mm.preparation.sounding_shapes import make_sounding_shapes

    state = R2Plus1D(variant="torchvision").state_dict()
    torch.save(state, tmp_path / "peer.pth")
    convert = partial(convert_checkpoint, tmp_path / "peer.pth", tmp_path / "o.pth", "torchvision")
    error = with_room_for(10_000_000, convert)
    assert f"{tmp_path}/o.pth: no room for 119" in str(error)
    assert not list(tmp_path.glob("*o.pth*"))

    shapes = tmp_path / "shapes"
    make = partial(
        make_sounding_shapes, shapes, num_train=2, num_test=1, seed=0, workers=1, num_bad=0
    )
    error = with_room_for(20_000, make)
    assert str(shapes) in str(error)
    assert "no room" in str(error)
    assert not list(shapes.rglob(".*"))
    make()
    assert json.loads((shapes / "settings.json").read_text())
    assert len(list(shapes.rglob("*.mp4"))) == 3
