"""Every config reads, builds and says what its name says."""

from pathlib import Path

import pytest
from mmaction.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from mmengine.registry import init_default_scope

import cmac_mm

CONFIG_DIR = Path(__file__).resolve().parents[1] / "configs"
CONFIGS = sorted(
    str(path.relative_to(CONFIG_DIR))
    for path in CONFIG_DIR.rglob("*.py")
    if "_base_" not in path.parts
)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def inner_datasets(cfg):
    """The data sets that read files, through wrappers."""
    if "pipeline" in cfg:
        return [cfg]
    inner = [value for value in cfg.values() if isinstance(value, dict) and "type" in value]
    return [dataset for value in inner for dataset in inner_datasets(value)]


@pytest.mark.parametrize("name", CONFIGS)
def test_builds(name):
    cfg = cmac_mm.load_config(CONFIG_DIR / name)
    model = MODELS.build(cfg.model)
    for loader in (cfg.get("train_dataloader"), cfg.get("test_dataloader")):
        if loader is None:
            continue
        assert loader.dataset.type in DATASETS.module_dict
        for dataset in inner_datasets(loader.dataset):
            for transform in dataset.pipeline:
                TRANSFORMS.build(transform)
            assert dataset.type in DATASETS.module_dict
            clips = next(t for t in dataset.pipeline if t.type == "SampleClips")
            if loader is cfg.get("train_dataloader"):
                wanted = 2 if getattr(model, "second_clip", False) else 1
                assert clips.get("num_clips", 1) == wanted
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    if cfg.get("test_evaluator"):
        METRICS.build(cfg.test_evaluator)


def test_headline_is_the_papers_recipe():
    cfg = cmac_mm.load_config("cmac_mm::cmac_k400.py")
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ("SGD", 0.01, 0.9)
    assert optimizer.weight_decay == 1e-5
    assert cfg.train_cfg.max_epochs == 200
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 128
    assert len(cfg.param_scheduler) == 1 and cfg.param_scheduler[0].end == 10
    model = cfg.model
    assert (model.queue_size, model.momentum) == (15000, 0.999)
    assert model.head.loss_contrastive.temperature == 0.07
    assert model.head.loss_attention.loss_weight == 1.5
    assert (model.neck.norm, model.neck.num_scales) == ("cosine", 2)
    assert (model.neck.channels, model.head.embed_channels) == (512, 256)
    jitter = model.data_preprocessor.color_jitter
    assert [jitter[k] for k in ("brightness", "contrast", "saturation", "hue")] == [
        0.4,
        0.4,
        0.4,
        0.2,
    ]


def test_audioset_is_the_same_recipe_on_another_list():
    cfg = cmac_mm.load_config("cmac_mm::cmac_audioset.py")
    headline = cmac_mm.load_config("cmac_mm::cmac_k400.py")
    for key in ("model", "optim_wrapper", "param_scheduler", "train_cfg", "auto_scale_lr"):
        assert cfg[key] == headline[key]
    for loader, name in (("train_dataloader", "train_240k"), ("test_dataloader", "eval")):
        data_set = cfg[loader].dataset
        assert data_set.ann_file == f"data/audioset/annotations/audioset_{name}.txt"
        assert data_set.data_prefix.video == "data/audioset/videos"
        data_set.update(headline[loader].dataset)
        assert cfg[loader] == headline[loader]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("wo-contrast", "model.head.loss_contrastive", None),
        ("wo-attention", "model.head.loss_attention", None),
        ("visual-only", "model.audio_backbone", None),
        ("norm-none", "model.neck", ("none", 1)),
        ("norm-softmax", "model.neck", ("softmax", 1)),
        ("scales-1", "model.neck", ("cosine", 1)),
        ("scales-3", "model.neck", ("cosine", 3)),
        ("wo-within-negatives", "model.head.loss_contrastive", (False, False)),
        ("within-positives", "model.head.loss_contrastive", (False, True)),
        ("within-both", "model.head.loss_contrastive", (True, True)),
    ],
)
def test_ablations_differ_in_their_row_alone(name, key, value):
    cfg = cmac_mm.load_config(f"cmac_mm::cmac_k400_ablation-{name}.py")
    base = cmac_mm.load_config("cmac_mm::cmac_k400_ablation.py")
    assert cfg.train_cfg.max_epochs == 50 and cfg.auto_scale_lr.base_batch_size == 64
    assert cfg.model.data_preprocessor.color_jitter is None
    actual = cfg
    for part in key.split("."):
        actual = actual[part]
    fields = {"neck": ("norm", "num_scales")}
    if isinstance(value, tuple):
        names = fields.get(part, ("within_modal_negatives", "within_modal_positives"))
        actual = tuple(actual[field] for field in names)
    assert actual == value
    assert cfg.optim_wrapper == base.optim_wrapper


def avid(name):
    return cmac_mm.load_config(f"cmac_mm::avid/{name}.py")


@pytest.mark.parametrize(("data", "clips"), [("k400", 10), ("audioset", 5)])
def test_avid_is_the_papers_recipe(data, clips):
    cfg = avid(f"avid_{data}")
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("Adam", 2e-4, 1e-5)
    assert cfg.train_cfg.max_epochs == 30 and cfg.train_dataloader.sampler.repeats == clips
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 256
    model = cfg.model
    assert (model.num_negatives, model.bank_momentum, model.temperature) == (1024, 0.5, 0.07)
    assert (model.hidden_channels, model.embed_channels) == (512, 128)
    assert (model.cross_weight, model.self_weight, model.num_positives) == (1, 0, 0)
    assert model.visual_backbone.variant == "avid"
    assert model.audio_backbone.type == "AVIDAudioNet"
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        steps = {step.type: step for step in loader.dataset.pipeline}
        decode, clip = steps["DecodeAudioVisual"], steps["SampleClips"]
        assert (decode.fps, decode.clip_len) == (16, 8)
        assert (clip.duration, clip.audio_duration) == (0.5, 2.0)
        directory = {"k400": "kinetics400"}.get(data, data)
        path = f"data/{directory}/annotations/avid_spectrogram.json"
        assert steps["AVIDSpectrogram"].statistics == path
        assert f"data/{directory}/" in loader.dataset.ann_file
    train = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert tuple(train["SampleClips"].visual_offset) == (-0.5, 2.0)
    assert (train["VolumeJitter"].low, train["VolumeJitter"].high) == (0.9, 1.1)


@pytest.mark.parametrize("data", ["k400", "audioset"])
def test_avid_variants_and_cma(data):
    base, weights = avid(f"avid_{data}"), {}
    for name in ("avid-self", "avid-joint"):
        cfg = avid(f"{name}_{data}")
        weights[name] = (cfg.model.cross_weight, cfg.model.self_weight)
        assert cfg.train_dataloader == base.train_dataloader
    assert weights == {"avid-self": (0, 1), "avid-joint": (1, 1)}
    cma = avid(f"avid-cma_{data}")
    assert cma.load_from == f"work_dirs/avid_{data}/epoch_30.pth"
    assert cma.train_cfg.max_epochs == 20
    assert (cma.model.num_positives, cma.model.agreement_weight) == (32, 1)
    hook = cma.custom_hooks[-1]
    assert hook.type == "CrossModalAgreementHook" and hook.mode == "min"
    assert hook.interval == {"k400": 5, "audioset": 10}[data]


def test_cma_ablations_differ_in_their_row_alone():
    base = avid("avid-cma_k400")
    for name, value in (("0p1", 0.1), ("0p3", 0.3), ("3", 3), ("10", 10)):
        cfg = avid(f"avid-cma_k400_ablation-lambda-{name}")
        assert cfg.model.agreement_weight == value
        cfg.model.agreement_weight = 1.0
        assert cfg.model == base.model and cfg.custom_hooks == base.custom_hooks
    for mode in ("visual", "audio", "max"):
        cfg = avid(f"avid-cma_k400_ablation-positives-{mode}")
        assert cfg.custom_hooks[-1].mode == mode
        cfg.custom_hooks[-1].mode = "min"
        assert cfg.custom_hooks == base.custom_hooks and cfg.model == base.model


def test_avid_on_cmacs_input_differs_in_method_alone():
    cfg, cmac = avid("avid_cmac-input_k400"), cmac_mm.load_config("cmac_mm::cmac_k400.py")
    for key in ("visual_backbone", "audio_backbone", "data_preprocessor"):
        assert cfg.model[key] == cmac.model[key]
    assert cfg.train_dataloader.dataset == cmac.train_dataloader.dataset
    assert cfg.test_dataloader.dataset == cmac.test_dataloader.dataset
    clips = cfg.train_cfg.max_epochs * cfg.train_dataloader.sampler.repeats
    assert clips == cmac.train_cfg.max_epochs
