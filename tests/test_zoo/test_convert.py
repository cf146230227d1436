"""Files as other projects write them: recognised, converted, refused."""

import json
import pickle
import subprocess

import pytest
import torch
import torchvision
from helpers.peer_files import LAYOUTS, constant_weights, envelope, write_full, xdc_layout
from helpers.tools_in_process import run_tool
from safetensors import safe_open

from cmac_mm.models import R2Plus1D
from cmac_mm.utils import load_checkpoint, load_weights
from cmac_mm.zoo import convert_checkpoint, export_to_torchvision, read_released


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


def thin_video_weights(prefix):
    """Random weights of the full layout would take seconds: one value each, and odd bits."""
    generator = torch.Generator().manual_seed(3)
    weights = constant_weights(LAYOUTS["torchvision"]())
    return {
        prefix + key: value.clone() + torch.rand((), generator=generator)
        if value.is_floating_point()
        else value
        for key, value in weights.items()
        if not key.startswith("fc.")
    }


@pytest.mark.parametrize("prefix", ["visual_backbone.", "backbone."])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_to_torchvision_and_back_to_the_last_bit(prefix, suffix, tmp_path, capsys):
    ours = thin_video_weights(prefix)
    torch.save(dict(meta={}, state_dict=ours), tmp_path / "ours.pth")
    theirs = tmp_path / f"theirs.{suffix}"
    run_tool("converters/convert_checkpoint.py", tmp_path / "ours.pth", theirs, "--to-torchvision")
    state = load_checkpoint(theirs)
    state = state if suffix == "pth" else state["state_dict"]
    net = torchvision.models.video.r2plus1d_18(weights=None)
    found = net.load_state_dict(state, strict=False)
    assert found.missing_keys == ["fc.weight", "fc.bias"] and not found.unexpected_keys
    convert_checkpoint(theirs, tmp_path / f"back.{suffix}")
    back = load_checkpoint(tmp_path / f"back.{suffix}")
    assert back["meta"]["format"] == "torchvision"
    assert back["state_dict"].keys() == {key.replace(prefix, "visual_backbone.", 1) for key in ours}
    for key, value in back["state_dict"].items():
        assert torch.equal(value, ours[key.replace("visual_backbone.", prefix, 1)])


def test_what_torchvision_does_not_take(files, tmp_path):
    convert_checkpoint(files["xdc"], tmp_path / "xdc.pth")
    with pytest.raises(
        RuntimeError, match=r"xdc\.pth is not torchvision's:\n  18 of another shape"
    ):
        export_to_torchvision(tmp_path / "xdc.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_a_damaged_safetensors_file(files, tmp_path):
    convert_checkpoint(files["xdc"], tmp_path / "xdc.safetensors")
    assert read_safetensors_meta(tmp_path / "xdc.safetensors")["format"] == "xdc"
    data = (tmp_path / "xdc.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-100])
    with pytest.raises(RuntimeError, match=r"cut\.safetensors cannot be read .*it is damaged"):
        load_checkpoint(tmp_path / "cut.safetensors")


def read_safetensors_meta(path):
    """As any other program reads it."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["meta"])
