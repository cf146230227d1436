"""Exported encoders give what the model gives, at any batch size, without this project."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from helpers.tools_in_process import run_tool

from cmac_mm.apis import export, export_encoders, init_model
from cmac_mm.apis.export import ExportedEncoder, example_input, open_onnx
from cmac_mm.utils import load_config
from cmac_mm.zoo import describe_inputs

CMAC = "cmac_mm::demo/cmac_sounding-shapes.py"
ALONE = """
import sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
found = session.run(["embedding"], {"input": numpy.load(sys.argv[2])})[0]
assert not {"torch", "cmac_mm"} & set(sys.modules)
numpy.save(sys.argv[3], found)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's model of random weights and lively batch norm, exported by the tool."""
    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    model = init_model(CMAC)
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 2)
    torch.save({"state_dict": model.state_dict()}, folder / "model.pth")
    run_tool("export.py", CMAC, "model.pth", "--out", "out", cwd=folder)
    return folder


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_files_give_what_predict_gives(folder, modality):
    model = init_model(CMAC, folder / "model.pth")
    inputs = describe_inputs(model.cfg)
    x = {name: example_input(inputs[name], 5, seed=9) for name in ("visual", "audio")}
    data = model.data_preprocessor(dict(inputs=dict(imgs=x["visual"], audio=x["audio"])))
    expected = model(**data, mode="predict")
    program = torch.export.load(folder / f"out/{modality}.pt2").module()
    onnx_run = open_onnx(folder / f"out/{modality}.onnx")
    for batch in (x[modality], x[modality][:1]):
        for run in (program, onnx_run):
            for name, value in run(batch).items():
                wanted = torch.stack([s.get(f"{modality}_{name}") for s in expected])[: len(batch)]
                torch.testing.assert_close(value, wanted, atol=1e-4 * wanted.abs().max(), rtol=0)


def test_onnx_runs_alone(folder):
    about = json.loads((folder / "out/export.json").read_text())
    batch, *shape = about["audio"]["input"]["shape"]
    assert batch == "batch" and shape[:2] == [1, 64]
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    assert about["visual"]["input"] == dict(shape=["batch", 3, 8, 64, 64], dtype="uint8")
    assert about["visual"]["outputs"].keys() == {"feature", "embedding"}
    assert about["audio"]["front_end"]["sample_rate"] == 24000
    np.save(folder / "x.npy", x)
    paths = [str(folder / name) for name in ("out/audio.onnx", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", ALONE, *paths], check=True)
    found = torch.from_numpy(np.load(folder / "y.npy"))
    torch.testing.assert_close(found, open_onnx(paths[0])(torch.from_numpy(x))["embedding"])


def test_files_hold_one_encoder_and_any_batch(folder):
    model = init_model(CMAC, folder / "model.pth")
    for modality in ("visual", "audio"):
        file = onnx.load(folder / f"out/{modality}.onnx")
        onnx.checker.check_model(file)
        axis = file.graph.input[0].type.tensor_type.shape.dim[0]
        assert axis.dim_param and not axis.dim_value
        stored = sum(np.prod(weight.dims) for weight in file.graph.initializer)
        heads = [model.neck, model.head, getattr(model, f"{modality}_backbone")]
        assert stored <= 1.1 * sum(p.numel() for part in heads for p in part.parameters())


def test_a_file_that_differs_is_not_written(folder, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", 1e-12)
    model = init_model(CMAC, folder / "model.pth")
    with pytest.raises(RuntimeError, match=r"visual\.onnx: differs from the model by"):
        export_encoders(model, folder / "none", ["onnx"])
    assert list((folder / "none").iterdir()) == []


def test_an_encoder_alone(folder):
    cfg = load_config("cmac_mm::retrieval/cmac_r2plus1d-18_32x128_ucf101.py")
    cfg.model.backbone.update(base_channels=4, stage_blocks=(1, 1, 1, 1))
    cfg.test_dataloader.dataset.query.pipeline[2].clip_len = 4
    cfg.test_dataloader.dataset.query.pipeline[3].crop_size = 32
    model = init_model(cfg)
    assert export_encoders(model, folder / "alone", ["onnx"]).keys() == {"visual.onnx"}
    x = example_input(describe_inputs(load_config(CMAC))["visual"], 2)[:, :, :4, :32, :32]
    data = model.data_preprocessor(dict(inputs=dict(imgs=x)))
    expected = torch.stack([s.visual_feature for s in model(**data, mode="predict")])
    found = open_onnx(folder / "alone/visual.onnx")(x.contiguous())
    assert found.keys() == {"feature"}
    torch.testing.assert_close(found["feature"], expected, atol=1e-5, rtol=1e-4)


def test_mistakes_are_named(folder):
    model = init_model(CMAC)
    with pytest.raises(ValueError, match=r"expected some of torch, onnx, got \['tflite'\]"):
        export_encoders(model, folder / "none", ["tflite"])
    del model.audio_backbone
    with pytest.raises(ValueError, match="CMAC has no audio encoder"):
        ExportedEncoder(model, "audio")
    with pytest.raises(ValueError, match="nothing is no released model: expected a config and"):
        run_tool("export.py", "nothing", "--out", "out", cwd=folder)
