"""Files as other projects write them: recognised, converted, refused."""

import pickle
import subprocess

import pytest
import torch
import torchvision
from helpers.peer_files import LAYOUTS, constant_weights, envelope, write_full, xdc_layout
from helpers.tools_in_process import run_tool

from cmac_mm.models import R2Plus1D
from cmac_mm.utils import load_checkpoint, load_weights
from cmac_mm.zoo import convert_checkpoint, read_released


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small files of the full layouts."""
    folder = tmp_path_factory.mktemp("peers")
    return {source: write_full(source, folder / f"{source}.pth") for source in LAYOUTS}


def test_the_layouts_are_as_large_as_the_released_ones():
    sizes = {source: len(layout()) for source, layout in LAYOUTS.items()}
    assert (sizes["avid"], sizes["gdt"], sizes["selavi"]) == (267, 312, 454)
    net = torchvision.models.video.r2plus1d_18(weights=None)
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    assert shapes == LAYOUTS["torchvision"]()
    others = {k for k, shape in xdc_layout().items() if shapes[k] != shape}
    assert len(others) == 18 and all(".0.conv2.0." in key for key in others)


@pytest.mark.parametrize("wrapper", ["", "module."])
@pytest.mark.parametrize("source", LAYOUTS)
def test_each_is_recognised(source, wrapper, tmp_path):
    """Also with what DataParallel and DistributedDataParallel put in front, or without."""
    weights = constant_weights(LAYOUTS[source]())
    weights = {wrapper + key.removeprefix("module."): value for key, value in weights.items()}
    torch.save(envelope(source, weights), tmp_path / "peer.pth")
    assert read_released(tmp_path / "peer.pth")[0] == source


@pytest.mark.parametrize("source", LAYOUTS)
def test_a_converted_file_says_what_it_is(source, files, tmp_path):
    summary = convert_checkpoint(files[source], tmp_path / "new/ours.pth")
    content = load_checkpoint(tmp_path / "new/ours.pth")
    counts = summary.pop("num_keys")
    assert content["meta"] == summary
    assert summary["format"] == source and summary["licence"] and summary["inputs"]["visual"]
    assert counts["visual_backbone"] == len(
        [key for key in content["state_dict"] if key.startswith("visual_backbone.")]
    )
    assert counts.get("projections", 0) == {"avid": 12, "gdt": 16}.get(source, 0)
    assert ("audio" in summary["inputs"]) == (source in ("avid", "gdt", "selavi"))
    encoder = R2Plus1D(variant=summary["inputs"]["visual"]["backbone"]["variant"])
    load_weights(encoder, tmp_path / "new/ours.pth", prefix="visual_backbone.")


def test_only_harmless_classes_are_let_in(files, tmp_path):
    with pytest.raises(RuntimeError, match="is refused"):
        load_checkpoint(files["gdt"])
    read_released(files["gdt"])
    with pytest.raises(RuntimeError, match="is refused"):  # the list was not left open
        load_checkpoint(files["gdt"])
    weights = constant_weights(LAYOUTS["gdt"]())
    torch.save(envelope("gdt", weights, dict(run=subprocess.Popen)), tmp_path / "bad.pth")
    with pytest.raises(RuntimeError, match="Popen"):
        convert_checkpoint(tmp_path / "bad.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def resnet50(path):
    with torch.device("meta"):
        shapes = torchvision.models.resnet50().state_dict()
    torch.save({k: torch.zeros(()).expand(v.shape) for k, v in shapes.items()}, path)


def truncated(path):
    write_full("xdc", path)
    path.write_bytes(path.read_bytes()[:5000])


class Code:
    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (resnet50, r"is no checkpoint of torchvision, .*: it looks like a 2-D ResNet"),
        (lambda path: torch.save({}, path), "it holds no weights"),
        (lambda path: torch.save([1, 2], path), "expected a state dict"),
        (lambda path: torch.save({"a.b": torch.zeros(1)}, path), "its keys begin with a$"),
        (lambda path: path.write_text("<!DOCTYPE html><html>"), "torch.save did not write it"),
        (truncated, "cannot be read as a checkpoint"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(pickle.dumps(Code())), "refused as unsafe"),
        (lambda path: torch.save({"model": Code()}, path), "is refused: it holds a print"),
        (
            lambda path: torch.save({"visual_backbone.stem.0.weight": torch.zeros(1)}, path),
            "a checkpoint of this project, or converted already",
        ),
    ],
)
def test_a_wrong_file_gets_one_clear_sentence(write, message, tmp_path, capsys):
    write(tmp_path / "wrong.pth")
    with pytest.raises(RuntimeError, match=message) as error:
        read_released(tmp_path / "wrong.pth")
    assert "wrong.pth" in str(error.value) and "\n" not in str(error.value)
    assert not capsys.readouterr().out


def test_what_does_not_match_is_listed(files, tmp_path):
    with pytest.raises(
        RuntimeError, match=r"18 of another shape: visual_backbone\.layer2\.0\.conv2"
    ):
        read_released(files["xdc"], "torchvision")
    weights = constant_weights(xdc_layout())
    del weights["stem.1.bias"]
    weights["surprise.weight"] = torch.zeros(1)
    torch.save(weights, tmp_path / "odd.pth")
    with pytest.raises(RuntimeError) as error:
        read_released(tmp_path / "odd.pth")
    assert "1 missing in the file: visual_backbone.stem.1.bias" in str(error.value)
    assert "1 unknown to the module: visual_backbone.surprise.weight" in str(error.value)
    weights = constant_weights(xdc_layout())
    weights["stem.1.bias"] = weights["stem.1.bias"] * float("nan")
    torch.save(weights, tmp_path / "diverged.pth")
    with pytest.raises(RuntimeError, match=r"infinite or not a number, the first is visual_back"):
        read_released(tmp_path / "diverged.pth")
    with pytest.raises(ValueError, match="unknown format 'moco': expected auto, torchvision"):
        read_released(files["xdc"], "moco")
    with pytest.raises(ValueError, match="overwrite"):
        convert_checkpoint(files["xdc"], files["xdc"])
    with pytest.raises(FileNotFoundError):
        read_released(tmp_path / "none.pth")


def test_command(files, tmp_path, capsys):
    run_tool("converters/convert_checkpoint.py", files["avid"], tmp_path / "ours.pth")
    output = capsys.readouterr().out
    assert "visual_backbone: 201 entries" in output
    assert "audio_backbone: 54 entries" in output and "projections: 12 entries" in output
    assert "format: avid" in output and "licence: CC-BY-NC" in output
