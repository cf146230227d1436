"""tools/infer.py and tools/converters/package_model.py, as a user runs them."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from helpers.tools_in_process import run_tool

from cmac_mm.apis import AudioVisualInferencer, init_model
from cmac_mm.features import VideoResult

DEMO = "cmac_mm::demo/cmac_sounding-shapes.py"
GRID = "grid_mini/bbaf2n.mpg"
run = partial(run_tool, "infer.py")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "epoch_3.pth"
    meta = dict(epoch=3, iter=384, seed=0, training_list=dict(size=4104), cfg="")
    torch.save(dict(state_dict=init_model(DEMO).state_dict(), meta=meta), path)
    return path


def test_files_of_each_video(checkpoint, media_dir, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.mpg", "more/a.mpg"):
        shutil.copy(media_dir / GRID, folder / name)
    (folder / "b.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    model = ["--model", DEMO, "--weights", checkpoint, "--out", out, "--device", "cpu"]
    with pytest.raises(SystemExit, match=r"1 of 3 videos cannot be used, see .*failed\.txt"):
        run(folder, *model, "--save", "npz", "json", "parquet", "--pictures", "--overlays")
    kinds = (".json", ".npz", ".parquet", ".png", "_attention.mp4")
    names = {f"{stem}{kind}" for stem in ("a", "a_2") for kind in kinds}
    assert {path.name for path in out.iterdir()} == names | {"failed.txt", "done.jsonl"}
    (line,) = (out / "failed.txt").read_text().splitlines()
    assert line.startswith(f"{folder / 'b.mp4'}: cannot be opened")
    said = capsys.readouterr()
    assert "2 of 3 videos" in said.out and f"{folder / 'a.mpg'}: 3.00 s, 9 clips, pict" in said.out
    assert said.err.count("b.mp4") == 1
    # Pictures want attention over all of the picture, and clips that overlap.
    result = VideoResult.load_npz(out / "a.npz")
    assert result.region == (0, 0, 1, 1) and result.starts[1] == 0.25
    inferencer = AudioVisualInferencer(DEMO, checkpoint, "cpu", whole_picture=True)
    (again,) = inferencer(folder / "a.mpg", stride=0.25, progress=False)
    table = parquet.read_table(out / "a.parquet").to_pydict()
    content = json.loads((out / "a.json").read_text())
    for name, values in again.fields.items():
        np.testing.assert_allclose(result[name], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(table[name], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(content["fields"][name], values, rtol=1e-4, atol=1e-5)
    assert table["start"] == result.starts.tolist()
    assert set(table["source"]) == {str(folder / "a.mpg")}


def test_the_same_command_goes_on(checkpoint, media_dir, tmp_path, capsys):
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    for name in "ab":
        shutil.copy(media_dir / GRID, folder / f"{name}.mpg")
    (folder / "c.mp4").write_bytes(b"no video")
    command = [folder, "--model", DEMO, "--weights", checkpoint, "--out", out]

    def again(*more):
        with pytest.raises(SystemExit, match="1 of 3 videos cannot be used"):
            run(*command, *more)
        text = capsys.readouterr().out
        return [name for name in "ab" if f"{name}.mpg: 3.00 s" in text]

    assert again() == ["a", "b"]
    assert again() == []
    (out / "b.npz").unlink()
    assert again() == ["b"] and (out / "b.npz").is_file()
    (folder / "a.mpg").touch()
    assert again() == ["a"]
    assert again("--save", "npz", "json") == ["a", "b"]
    assert again() == []
    assert again("--stride", "2") == ["a", "b"]
    assert again("--stride", "2", "--overwrite") == ["a", "b"]
    (folder / "c.mp4").unlink()
    run(*command, "--stride", "2")
    text = capsys.readouterr().out
    assert "2 of 2 videos are complete" in text and "2 of 2 videos: " in text
    assert not (out / "failed.txt").read_text()


def test_features_alone(checkpoint, media_dir, tmp_path):
    out = tmp_path / "out"
    run(media_dir / GRID, "--model", DEMO, "--weights", checkpoint, "--out", out, "--stages")
    assert {path.name for path in out.iterdir()} == {"bbaf2n.npz", "failed.txt", "done.jsonl"}
    result = VideoResult.load_npz(out / "bbaf2n.npz")
    assert result["visual_stage2"].shape == (3, 16) and result.region != (0, 0, 1, 1)


def test_package_model(checkpoint, tmp_path, capsys):
    results = tmp_path / "results"
    results.mkdir()
    found = dict(benchmark="shapes", checkpoint="x", protocol="9 videos", metrics=dict(top1=0.951))
    (results / "a.json").write_text(json.dumps({**found, "chance": dict(top1=0.125)}))
    out = tmp_path / "small.pth"
    command = ["converters/package_model.py", DEMO, checkpoint, out, "--data", "drawn shapes"]
    run_tool(*command, "--results", results)
    card = out.with_suffix(".md").read_text()
    for part in ("# small", "drawn shapes", "384 steps, 3 epochs, seed 0", "videos: 4104", "95.1"):
        assert part in card, card
    assert "| shapes, 9 videos, % | chance | this file |" in card and "12.5" in card
    assert out.stat().st_size < 3_000_000
    content = torch.load(out, weights_only=True)
    assert set(content) == {"meta", "state_dict"}
    whole = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, whole[key]) for key, value in content["state_dict"].items())
    init_model(DEMO, out)
    from cmac_mm.zoo.package import package_model

    with pytest.raises(ValueError, match=r"take \d+ bytes, expected 1000"):
        package_model(DEMO, checkpoint, tmp_path / "b.pth", "x", max_bytes=1000)
    with pytest.raises(ValueError, match=r"ends in \.pth"):
        package_model(DEMO, checkpoint, tmp_path / "b.bin", "x")
    with pytest.raises(RuntimeError, match="its meta lacks epoch, iter, seed"):
        torch.save(dict(state_dict={"a": torch.ones(1)}), tmp_path / "bare.pth")
        package_model(DEMO, tmp_path / "bare.pth", tmp_path / "b.pth", "x")
    assert not (tmp_path / "b.pth").exists()
