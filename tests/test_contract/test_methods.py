"""Whatever is trained: takes a step, is saved and loaded, predicts, and refuses wrong input."""

import io
from functools import cache

import pytest
import torch
from helpers.clusters import start
from helpers.paths import ROOT
from helpers.registered import registered
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from cmac_mm.utils import load_config

METHODS = registered("MODELS", "models.selfsup")
BACKBONES = registered("MODELS", "models.backbones")
VIDEOS, BATCH = 300, 4


@cache
def configs():
    """Name -> config of every demo: their networks are thin."""
    files = sorted((ROOT / "configs/demo").glob("*_sounding-shapes.py"))
    return {path.stem.removesuffix("_sounding-shapes"): load_config(str(path)) for path in files}


def is_ours(cfg):
    """Encoders of others may begin with layers that have no gradient yet."""
    parts = (cfg.model.get("visual_backbone"), cfg.model.get("audio_backbone"))
    return all(part is None or part.type in BACKBONES for part in parts)


DEMOS = [name for name, cfg in configs().items() if is_ours(cfg)]


def build(name, seed=0):
    """A demo's model with random weights."""
    torch.manual_seed(seed)
    model = MODELS.build(configs()[name].model)
    model.init_weights()
    return model


def bind(model):
    """What hooks do before training: a list of videos, clusters."""
    if hasattr(model, "begin_round"):
        start(model, num_videos=VIDEOS)
    elif hasattr(model, "bind_list"):
        model.bind_list(VIDEOS, bytes(range(32)), seed=0)
    return model


def batch(model, clips=None, **metainfo):
    """Noise as the model takes it, and data samples with their rows."""
    generator = torch.Generator().manual_seed(1)
    lead = (BATCH,) if clips is None else (BATCH, clips)
    noise = dict(
        imgs=torch.randint(256, (*lead, 3, 8, 48, 48), dtype=torch.uint8, generator=generator),
        audio=30 * torch.randn(*lead, 1, 64, 60, generator=generator),
    )
    wanted = [name for name in ("visual", "audio") if hasattr(model, f"{name}_backbone")]
    keys = {"visual": "imgs", "audio": "audio"}
    samples = [
        ActionDataSample(metainfo=metainfo or dict(sample_idx=row, sample_seed=row))
        for row in range(BATCH)
    ]
    inputs = {keys[name]: noise[keys[name]] for name in wanted}
    return model.data_preprocessor(dict(inputs=inputs, data_samples=samples))


def total(model, data):
    return model.parse_losses(model(**data, mode="loss"))[0]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", METHODS)
def test_method_has_a_demo(name):
    """What is below runs on the demos."""
    types = {cfg.model.type for cfg in configs().values()}
    assert name in types, f"add configs/demo/<name>_sounding-shapes.py with model.type={name!r}"


@pytest.mark.parametrize("demo", DEMOS)
def test_step_reaches_every_parameter(demo):
    model = bind(build(demo)).train()
    losses = model(**batch(model), mode="loss")
    assert any("loss" in key for key in losses)
    for key, value in losses.items():
        assert value.isfinite() and value.dtype == torch.float32, key
    model.parse_losses(losses)[0].backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert name.startswith("key_encoders."), f"{name} is not trained"
            continue
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert parameter.grad.isfinite().all(), name
        # a bias before a batch norm has none, and rounding is all that is left of it
        assert parameter.ndim == 1 or parameter.grad.any(), f"no gradient reaches {name}"


@pytest.mark.parametrize("demo", DEMOS)
def test_saved_and_loaded(demo):
    model = bind(build(demo)).train()
    total(model, batch(model)).backward()  # batch norms, banks and Z move
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad.sign()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = build(demo, seed=1)  # as a test builds it: nobody has told it the list
    again.load_state_dict(torch.load(file, weights_only=True))

    first, second = (net.eval()(**batch(net), mode="predict") for net in (model, again))
    for one, other in zip(first, second, strict=True):
        assert sorted(one.all_keys()) == sorted(other.all_keys())
        for key, value in one.items():
            assert torch.equal(value, other.get(key)), key
    assert torch.equal(total(model, batch(model)), total(again, batch(again)))


@pytest.mark.parametrize("demo", DEMOS)
@pytest.mark.parametrize("clips", [None, 2])
def test_predicts(demo, clips):
    model = build(demo).eval()  # without what hooks do: an evaluation has none of them
    data = batch(model, clips)
    maps = model(**data, mode="tensor")
    samples = model(**data, mode="predict")
    assert len(samples) == BATCH
    for name in model.modalities:
        average = maps[f"{name}_map"].flatten(2).mean(dim=2).unflatten(0, (BATCH, -1)).mean(dim=1)
        features = torch.stack([sample.get(f"{name}_feature") for sample in samples])
        torch.testing.assert_close(features, average)
    for row, sample in enumerate(samples):
        assert sample.sample_idx == row
        for key, value in sample.items():
            assert value.dtype == torch.float32 and value.isfinite().all(), key


@pytest.mark.parametrize("demo", DEMOS)
@pytest.mark.parametrize("mode", ["loss", "predict", "tensor"])
def test_wrong_inputs_are_refused_by_name(demo, mode):
    model = bind(build(demo))
    for key in batch(model)["inputs"]:
        data = batch(model)
        x = data["inputs"].pop(key)
        with pytest.raises(ValueError, match=f"'{key}'"):
            model(**data, mode=mode)
        for wrong in (x[0], x[:, None, None]):
            data["inputs"][key] = wrong
            with pytest.raises(ValueError, match=rf"{key} .*{wrong.shape[-1]}"):
                model(**data, mode=mode)
        if len(data["inputs"]) == 2:
            data["inputs"][key] = torch.stack([x, x], dim=1)
            with pytest.raises(ValueError, match="number of clips"):
                model(**data, mode=mode)


@pytest.mark.parametrize("demo", DEMOS)
def test_wrong_training_batches_are_refused(demo):
    model = bind(build(demo)).train()
    with pytest.raises(ValueError, match=r"clip.*got 3"):
        model(**batch(model, clips=3), mode="loss")
    with pytest.raises(ValueError, match="'sample_idx'"):
        model(**batch(model, filename="a.mp4"), mode="loss")
    for samples in (None, batch(model)["data_samples"][1:]):
        with pytest.raises(ValueError, match="data sample"):
            model(batch(model)["inputs"], samples, mode="loss")
    with pytest.raises(ValueError, match="'train'"):
        model(**batch(model), mode="train")
