"""tools/search.py over videos, sounds and a broken file."""

import re
import shutil

import numpy as np
import pytest
import soundfile
import torch
from helpers.tools_in_process import run_tool

from cmac_mm.apis import AudioVisualInferencer, init_model
from cmac_mm.apis.inferencer import DEMO_NOTE
from cmac_mm.datasets.av_reader import MediaFile, read_sound
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes

CONFIG = "cmac_mm::demo/cmac_sounding-shapes.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six videos, the sound of one, a broken file, and two untrained checkpoints."""
    folder = tmp_path_factory.mktemp("search")
    make_sounding_shapes(folder, num_train=8, num_test=6, seed=1, workers=1, num_bad=0)
    (folder / "videos/test").rename(folder / "media")
    media = MediaFile(str(folder / "media/000002.mp4"))
    sound = read_sound(media, [0.0], media.duration, 24000)[0]
    media.close()
    soundfile.write(folder / "media/sound.wav", sound, 24000)
    (folder / "media/broken.mp4").write_bytes(b"no video")
    for seed in (3, 4):
        torch.manual_seed(seed)
        torch.save({"state_dict": init_model(CONFIG).state_dict()}, folder / f"{seed}.pth")
    return folder


def index(folder, capsys, *more, weights="3.pth"):
    args = ("media", "--model", CONFIG, "--weights", weights, "--index", "index", *more)
    run_tool("search.py", "index", *args, cwd=folder)
    return capsys.readouterr().out


def query(folder, capsys, *args):
    run_tool("search.py", "query", *args, "--index", "index", cwd=folder)
    lines = capsys.readouterr().out.splitlines()
    hits = [re.fullmatch(r" *\d+ +(-?[\d.]+) +[\d.]+ s  .*/(.*)", line) for line in lines]
    return [(match[2], float(match[1])) for match in hits if match]


def test_index_query_and_changes(folder, capsys):
    text = index(folder, capsys)
    assert "8 new files, 0 changed, 0 deleted, 0 as before; 1 cannot be used" in text
    assert re.search(r"not in the index: .*broken\.mp4: cannot be opened", text)
    # Like with like: the sound's own video sounds most like it; the file itself is passed over.
    found = query(folder, capsys, "media/sound.wav", "--find", "audio")
    assert found[0][0] == "000002.mp4" and found[0][1] > 0.99
    assert "sound.wav" not in [name for name, _ in found] and len(found) == 6
    # By its sound the pictures, in the order of the cosines of what inference gives.
    found = query(folder, capsys, "media/sound.wav", "--count", "4")
    inferencer = AudioVisualInferencer(CONFIG, folder / "3.pth", device="cpu")
    videos = sorted((folder / "media").glob("0*.mp4"))
    (sound,) = inferencer(folder / "media/sound.wav", progress=False)
    expected = {
        result.source.rpartition("/")[2]: max(
            result["visual_embedding"] @ sound.whole("audio_embedding")
        )
        for result in inferencer(videos, progress=False)
    }
    names = sorted(expected, key=lambda name: -expected[name])[:4]
    assert [name for name, _ in found] == names
    assert [value for _, value in found] == pytest.approx([expected[n] for n in names], abs=1e-3)
    # By its picture the sounds; among these is that of sound.wav.
    found = query(folder, capsys, "media/000001.mp4")
    assert "sound.wav" in [name for name, _ in found] and len(found) == 7
    page = (folder / "index/000001.html").read_text()
    assert page.count("<audio ") == 8 and page.count("<figure") == 8
    assert page.count("data:audio/mpeg") == 8 and page.count('class="frames"') == 7

    assert "0 new files, 0 changed, 0 deleted, 8 as before" in index(folder, capsys)
    shutil.copy(folder / "media/000000.mp4", folder / "media/sub.mp4")
    (folder / "media/000003.mp4").unlink()
    soundfile.write(folder / "media/sound.wav", np.zeros(24000) + 0.1, 24000)
    text = index(folder, capsys)
    assert "1 new files, 1 changed, 1 deleted, 6 as before; 1 cannot be used" in text
    found = dict(query(folder, capsys, "media/000000.mp4", "--find", "video"))
    assert found["sub.mp4"] > 0.99 and "000003.mp4" not in found


def test_refusals(folder, capsys):
    index(folder, capsys)
    with pytest.raises(ValueError, match="made by another model"):
        index(folder, capsys, weights="4.pth")
    with pytest.raises(ValueError, match="made by another model"):
        query(folder, capsys, "media/000000.mp4", "--model", CONFIG, "--weights", "4.pth")
    with pytest.raises(ValueError, match=r"--stride 0\.25: the clips of index are 1 s apart"):
        index(folder, capsys, "--stride", "0.25")
    with pytest.raises(ValueError, match=r"sound\.wav: no vectors of its picture to search by"):
        query(folder, capsys, "media/sound.wav", "--by", "video")
    with pytest.raises(ValueError, match=r"no video can be used: media/broken\.mp4"):
        query(folder, capsys, "media/broken.mp4")
    with pytest.raises(FileNotFoundError, match="there is no index"):
        run_tool("search.py", "query", "x.mp4", "--index", "nowhere", cwd=folder)


def test_the_model_in_the_package_says_what_it_has_seen(folder, capsys):
    media = folder / "few"
    media.mkdir()
    shutil.copy(folder / "media/000000.mp4", media)
    run_tool("search.py", "index", media, "--index", "few_index", cwd=folder)
    printed = capsys.readouterr()
    assert "by cmac-demo" in printed.out and DEMO_NOTE in printed.err
    run_tool("search.py", "query", media / "000000.mp4", "--index", "few_index", cwd=folder)
    assert DEMO_NOTE in capsys.readouterr().err
    assert DEMO_NOTE in (folder / "few_index/000000.html").read_text()
