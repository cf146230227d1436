"""Every config reads, builds and says what its name says."""

import importlib.util
import re
from copy import deepcopy
from functools import cache
from pathlib import Path

import mmaction
import pytest
import torch
import yaml
from helpers.paths import ROOT
from mmaction.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import cmac_mm
from cmac_mm.models import CMAC
from cmac_mm.utils.config import PREFIX, config_path
from cmac_mm.utils.config_variables import read_config

CONFIG_DIR = ROOT / "configs"
CONFIGS = sorted(
    str(path.relative_to(CONFIG_DIR))
    for path in CONFIG_DIR.rglob("*.py")
    if "_base_" not in path.parts
)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


@cache
def read(path):
    """A config file and its variables, read once; to be copied before it is changed."""
    return read_config(path)


def load(config):
    """A config of its own for each test: `cmac_mm::NAME`, or a path."""
    path = config_path(config.removeprefix(PREFIX)) if config.startswith(PREFIX) else config
    return deepcopy(read(path)[0])


def inner_datasets(cfg):
    """The data sets that read files, through wrappers."""
    if "pipeline" in cfg:
        return [cfg]
    inner = [value for value in cfg.values() if isinstance(value, dict) and "type" in value]
    return [dataset for value in inner for dataset in inner_datasets(value)]


@pytest.mark.parametrize("name", CONFIGS)
def test_builds(name):
    cfg = load(str(CONFIG_DIR / name))
    with torch.device("meta"):  # no weights are drawn
        model = MODELS.build(cfg.model)
    for loader in (cfg.get("train_dataloader"), cfg.get("test_dataloader")):
        if loader is None:
            continue
        assert DATASETS.get(loader.dataset.type)
        for dataset in inner_datasets(loader.dataset):
            for transform in dataset.pipeline:
                TRANSFORMS.build(transform)
            assert DATASETS.get(dataset.type)
            clips = next(t for t in dataset.pipeline if t.type == "SampleClips")
            if loader is cfg.get("train_dataloader"):
                wanted = model.head.num_clips if isinstance(model, CMAC) else 1
                assert clips.get("num_clips", 1) == wanted
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    if cfg.get("test_evaluator"):
        METRICS.build(cfg.test_evaluator)


def test_seed_given_to_mmaction2s_launcher_is_used(monkeypatch):
    """It takes the seed of the config, if that says anything of it."""
    path = Path(mmaction.__path__[0]) / ".mim/tools/train.py"
    spec = importlib.util.spec_from_file_location("mmaction_train", path)
    launcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launcher)
    for name in CONFIGS:
        monkeypatch.setattr("sys.argv", ["train.py", name, "--seed", "7"])
        cfg = launcher.merge_args(load(str(CONFIG_DIR / name)), launcher.parse_args())
        assert cfg.randomness.seed == 7


@pytest.mark.parametrize("name", [n for n in CONFIGS if "/" in n and "demo" not in n])
def test_is_what_its_name_says(name):
    # method_detail[_GPUsxbBATCH]-CLIPS[-EPOCHSe]_data; with no GPUs and epochs nothing is trained
    trained = r"(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<clips>\w+)-(?P<epochs>\d+)e"
    only = r"(?P<only>\d+x\d+s?)"
    match = re.fullmatch(rf"[a-z-]+_[a-z0-9-]+_({trained}|{only})_[a-z0-9]+", Path(name).stem)
    assert match
    cfg = load(str(CONFIG_DIR / name))
    loader = cfg.get("train_dataloader") or cfg.test_dataloader
    if match["only"]:
        assert "train_dataloader" not in cfg
        parts = match["only"]
    else:
        parts = match["clips"]
        assert loader.batch_size == int(match["batch"])
        assert cfg.train_cfg.max_epochs == int(match["epochs"])
        batch = int(match["gpus"]) * loader.batch_size
        accumulated = cfg.optim_wrapper.get("accumulative_counts", 1)
        assert cfg.auto_scale_lr.base_batch_size == batch * accumulated
    for dataset in inner_datasets(loader.dataset):
        steps = {step.type: step for step in dataset.pipeline}
        sample = steps["SampleClips"]
        decode = steps.get("DecodeAudioVisual") or steps.get("StillClip")
        if parts.endswith("s"):
            number, _, seconds = parts[:-1].rpartition("x")
            assert sample.get("audio_duration", sample.duration) == float(seconds)
            assert not number or sample.num_clips == int(number)
        else:
            frames, size = map(int, parts.split("x"))
            assert decode.clip_len == frames
            sizes = values_of(dataset.pipeline, "size") + values_of(dataset.pipeline, "crop_size")
            scales = [scale[0] for scale in values_of(dataset.pipeline, "scale")]
            # Whole frames are scaled before a part is cropped, or it is the other way round.
            assert sizes + scales in ([size], [size, *scales])


def values_of(cfg, key):
    """All values of a key, anywhere in a config."""
    if isinstance(cfg, dict):
        here = [cfg[key]] if key in cfg else []
        return here + [value for part in cfg.values() for value in values_of(part, key)]
    if isinstance(cfg, list | tuple):
        return [value for part in cfg for value in values_of(part, key)]
    return []


@pytest.mark.parametrize("name", CONFIGS)
def test_variables_reach_what_they_are_for(name):
    family = Path(name).parent.name
    values = dict(data_root="/else", batch_size=3)
    if family != "demo":
        values["num_workers"] = 5
    if family in ("recognition", "linear_probe") or "12e_esc50" in name:
        values["pretrained"] = "encoder.pth"
    if family in ("recognition", "retrieval") or "12e_esc50" in name:
        values["split"] = 2
    path = str(CONFIG_DIR / name)
    declared = read(path)[1]
    assert values.keys() <= declared
    assert not {"pretrained", "split"} & (declared - values.keys())
    cfg = read_config(path, values)[0]
    loaders = [cfg.get("train_dataloader"), cfg.get("test_dataloader")]
    loaders = [loader for loader in loaders if loader is not None]
    assert loaders[0].batch_size == 3
    assert all(loader.num_workers == values.get("num_workers", 2) for loader in loaders)
    paths = values_of(loaders, "ann_file") + values_of(loaders, "data_prefix")
    assert paths and all("'data/" not in str(path) and "/else" in str(path) for path in paths)
    if "pretrained" in values:
        assert cfg.model.backbone.init_cfg.checkpoint == "encoder.pth"
    if family == "recognition":
        assert cfg.work_dir == f"work_dirs/{Path(name).stem}/split2"
    if "split" in values and "esc50" not in name:
        assert all(path.endswith("split2.txt") for path in values_of(loaders, "ann_file"))
    # The batch that the learning rate is for is not turned along.
    assert cfg.get("auto_scale_lr") == read(path)[0].get("auto_scale_lr")


def test_headline_is_the_papers_recipe():
    cfg = load("cmac_mm::cmac_k400.py")
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
    cfg = load("cmac_mm::cmac/cmac_r2plus1d-18_8xb16-32x128-200e_audioset.py")
    headline = load("cmac_mm::cmac_k400.py")
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
        ("baseline", "model.head.loss_attention", None),
        ("baseline", "model.head.loss_contrastive", (False, False)),
        ("visual-only", "model.audio_backbone", None),
        ("visual-only-one-clip", "model.audio_backbone", None),
        ("audio-only", "model.visual_backbone", None),
        ("audio-only-one-clip", "model.visual_backbone", None),
        ("norm-none", "model.neck", ("none", 1)),
        ("norm-none-scales-2", "model.neck", ("none", 2)),
        ("norm-none-scales-3", "model.neck", ("none", 3)),
        ("norm-softmax", "model.neck", ("softmax", 1)),
        ("norm-softmax-scales-2", "model.neck", ("softmax", 2)),
        ("norm-softmax-scales-3", "model.neck", ("softmax", 3)),
        ("scales-1", "model.neck", ("cosine", 1)),
        ("scales-3", "model.neck", ("cosine", 3)),
        ("lambda-0p5", "model.head.loss_attention.loss_weight", 0.5),
        ("lambda-1", "model.head.loss_attention.loss_weight", 1),
        ("lambda-2", "model.head.loss_attention.loss_weight", 2),
        ("lambda-2p5", "model.head.loss_attention.loss_weight", 2.5),
        ("wo-within-negatives", "model.head.loss_contrastive", (False, False)),
        ("within-positives", "model.head.loss_contrastive", (False, True)),
        ("within-both", "model.head.loss_contrastive", (True, True)),
    ],
)
def test_ablations_differ_in_their_row_alone(name, key, value):
    # 32 videos of two clips each, or 64 videos of one.
    videos = 4 if name in ("within-positives", "within-both") else 8
    clips = "1s" if name.startswith("audio-only") else "32x128"
    cfg = load(f"cmac_mm::cmac/cmac_ablation-{name}_8xb{videos}-{clips}-50e_k400.py")
    base = load("cmac_mm::cmac/cmac_ablation_8xb8-32x128-50e_k400.py")
    assert cfg.train_cfg.max_epochs == 50 and cfg.auto_scale_lr.base_batch_size == 8 * videos
    assert cfg.train_dataloader.batch_size == videos
    sample = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == "SampleClips")
    assert sample.get("same_start", False) == name.endswith("one-clip")
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


def test_sound_alone_and_pictures_alone_read_nothing_else(media_dir):
    for name, left in (("visual-only_8xb8-32x128", "imgs"), ("audio-only_8xb8-1s", "audio")):
        cfg = load(f"cmac_mm::cmac/cmac_ablation-{name}-50e_k400.py")
        pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
        video = next((media_dir / "ucf101_sound_train").rglob("*.mp4"))
        inputs = pipeline(dict(filename=str(video), sample_idx=0))["inputs"]
        assert inputs.keys() == {left} and len(inputs[left]) == 2


def test_all_of_audioset_takes_as_many_steps_as_kinetics():
    subset, cfg = (
        load(f"cmac_mm::cmac/cmac_r2plus1d-18_8xb16-32x128-{n}e_audioset.py") for n in (200, 25)
    )
    path = "data/audioset/annotations/audioset_unbalanced_train.txt"
    assert cfg.train_dataloader.dataset.ann_file == path
    for key in ("model", "optim_wrapper", "auto_scale_lr", "test_dataloader"):
        assert cfg[key] == subset[key]
    for old, new in ((200, cfg.train_cfg.max_epochs), (10, cfg.param_scheduler[0].end)):
        assert new / old == pytest.approx(224_576 / 2_041_789, rel=0.15)


def avid(name, data="k400", recipe=None):
    recipe = recipe or {"k400": "8xb32-8x224-30e", "audioset": "8xb20-8x224-40e"}[data]
    return load(f"cmac_mm::avid/{name}_{recipe}_{data}.py")


@pytest.mark.parametrize(
    ("data", "clips", "batch", "lr", "epochs"),
    [("k400", 10, 256, 2e-4, 30), ("audioset", 5, 160, 5e-4, 40)],
)
def test_avid_is_the_authors_recipe(data, clips, batch, lr, epochs):
    cfg = avid("avid_r2plus1d-18", data)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("Adam", lr, 1e-5)
    assert cfg.train_cfg.max_epochs == epochs and cfg.train_dataloader.sampler.repeats == clips
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == batch
    model = cfg.model
    assert (model.num_negatives, model.bank_momentum, model.head.temperature) == (1024, 0.5, 0.07)
    assert (model.head.hidden_channels, model.head.embed_channels) == (512, 128)
    assert (model.head.cross_weight, model.head.self_weight, model.num_positives) == (1, 0, 0)
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
    base, weights = avid("avid_r2plus1d-18", data), {}
    for name in ("avid-self", "avid-joint"):
        cfg = avid(f"{name}_r2plus1d-18", data)
        weights[name] = (cfg.model.head.cross_weight, cfg.model.head.self_weight)
        assert cfg.train_dataloader == base.train_dataloader
    assert weights == {"avid-self": (0, 1), "avid-joint": (1, 1)}
    recipe, epochs, lr = {
        "k400": ("8xb32-8x224-20e", 20, 2e-4),
        "audioset": ("8xb20-8x224-40e", 40, 1e-4),
    }[data]
    cma = avid("avid-cma_r2plus1d-18", data, recipe)
    last = base.train_cfg.max_epochs
    first = f"avid_r2plus1d-18_8xb{base.train_dataloader.batch_size}-8x224-{last}e_{data}"
    assert cma.load_from == f"work_dirs/{first}/epoch_{last}.pth"
    assert (cma.train_cfg.max_epochs, cma.optim_wrapper.optimizer.lr) == (epochs, lr)
    assert (cma.model.num_positives, cma.model.head.agreement_weight) == (32, 1)
    hook = cma.custom_hooks[-1]
    assert hook.type == "CrossModalAgreementHook" and hook.mode == "min"
    assert hook.interval == {"k400": 5, "audioset": 10}[data]


def ablation(name, epochs):
    return avid(name, "audioset100k", f"8xb32-16x112-{epochs}e")


def test_avids_ablations_are_in_the_papers_setting():
    cfg = ablation("avid_ablation", 400)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("Adam", 1e-4, 1e-5)
    assert cfg.auto_scale_lr.base_batch_size == 256 and cfg.train_dataloader.sampler.repeats == 1
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
        visual = model.visual_backbone(torch.zeros(1, 3, 16, 112, 112))
        audio = model.audio_backbone(torch.zeros(1, 1, 129, 100))
        assert (visual.shape, audio.shape) == ((1, 512, 2, 7, 7), (1, 512, 17, 13))
        # The stem and four blocks of two times two convolutions; nine convolutions for sound.
        convs = [m for m in model.visual_backbone.modules() if isinstance(m, torch.nn.Conv3d)]
        assert len([conv for conv in convs if conv.kernel_size != (1, 1, 1)]) == 17
        assert sum(isinstance(m, torch.nn.Conv2d) for m in model.audio_backbone.modules()) == 9
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        step = {s.type: s for s in loader.dataset.pipeline}["AVIDSpectrogram"]
        sound = dict(waveform=torch.randn(1, 48000).numpy(), sample_rate=24000)
        spectrogram = TRANSFORMS.build({**step, "statistics": None}).transform(sound)
        assert spectrogram["audios"].shape == (1, 1, 129, 100)
    for name, weights in (("avid-self", (0, 1)), ("avid-joint", (1, 1))):
        head = ablation(f"{name}_ablation", 400).model.head
        assert (head.cross_weight, head.self_weight) == weights
    for number in (2048, 4096, 8192):
        other = ablation(f"avid_ablation-negatives-{number}", 400)
        assert other.model.pop("num_negatives") == number
        cfg.model.pop("num_negatives", None)
        assert other.to_dict() == cfg.to_dict()


def test_cma_ablations_differ_in_their_row_alone():
    base, cross = ablation("avid-cma_ablation", 200), ablation("avid_ablation", 400)
    assert base.load_from.endswith("avid_ablation_8xb32-16x112-400e_audioset100k/epoch_200.pth")
    assert cross.default_hooks.checkpoint.interval == 50 == base.custom_hooks[-1].interval
    assert base.train_dataloader == cross.train_dataloader
    for name, value in (("0p1", 0.1), ("0p3", 0.3), ("3", 3), ("10", 10)):
        cfg = ablation(f"avid-cma_ablation-lambda-{name}", 200)
        assert cfg.model.head.agreement_weight == value
        cfg.model.head.agreement_weight = 1.0
        assert cfg.model == base.model and cfg.custom_hooks == base.custom_hooks
    for mode in ("visual", "audio", "max"):
        cfg = ablation(f"avid-cma_ablation-positives-{mode}", 200)
        assert cfg.custom_hooks[-1].mode == mode
        cfg.custom_hooks[-1].mode = "min"
        assert cfg.custom_hooks == base.custom_hooks and cfg.model == base.model


def test_avid_on_cmacs_input_differs_in_method_alone():
    cfg = avid("avid_cmac-input", recipe="8xb32-32x128-20e")
    cmac = load("cmac_mm::cmac_k400.py")
    for key in ("visual_backbone", "audio_backbone", "data_preprocessor"):
        assert cfg.model[key] == cmac.model[key]
    assert cfg.train_dataloader.dataset == cmac.train_dataloader.dataset
    assert cfg.test_dataloader.dataset == cmac.test_dataloader.dataset
    clips = cfg.train_cfg.max_epochs * cfg.train_dataloader.sampler.repeats
    assert clips == cmac.train_cfg.max_epochs


XDC = "xdc_r2plus1d-18_8xb32-8x224-60e_k400"


def deep_clustering(name):
    return load(f"cmac_mm::deep_clustering/{name}.py")


SUPERVISION = {
    "sdc": dict(visual=["visual"], audio=["audio"]),
    "mdc": dict(visual=["visual", "audio"], audio=["visual", "audio"]),
    "cdc": dict(visual=["joint"], audio=["joint"]),
    "xdc": dict(visual=["audio"], audio=["visual"]),
    "xdc-visual": dict(visual=["visual_2"], visual_2=["visual"]),
    "xdc-audio": dict(audio=["audio_2"], audio_2=["audio"]),
}


def test_xdc_is_the_papers_recipe():
    cfg = deep_clustering(XDC)
    model = cfg.model
    assert (model.visual_backbone.type, model.visual_backbone.depth) == ("R2Plus1D", 18)
    assert model.visual_backbone.variant == "caffe2"
    assert (model.audio_backbone.type, model.audio_backbone.depth) == ("AudioResNet", 18)
    hook = cfg.custom_hooks[-1]
    pipelines = {
        "train": cfg.train_dataloader.dataset.pipeline,
        "cluster": hook.pipeline,
        "test": cfg.test_dataloader.dataset.pipeline,
    }
    for name, pipeline in pipelines.items():
        steps = {step.type: step for step in pipeline}
        decode, clip = steps["DecodeAudioVisual"], steps["SampleClips"]
        assert (decode.fps, decode.clip_len, decode.short_side) == (30, 8, 256)
        assert (clip.duration, clip.audio_duration) == (8 / 30, 2.0)
        assert (clip.get("mode", "random") == "random") == (name == "train")
        assert clip.get("num_clips", 1) == (10 if name == "test" else 1)
        mel = steps["LogMelSpectrogram"]
        assert (mel.num_mels, 2.0 * 24000 / mel.hop_length) == (40, 100)
        # What training refuses has no cluster.
        assert decode.get("silence_db") == (None if name == "test" else -80)
    assert cfg.train_cfg.max_epochs == 6 * hook.epochs_per_round
    end = cfg.param_scheduler[-1]
    assert (end.type, end.begin, end.end) == ("CosineAnnealingLR", 50, 60)  # the last round
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 256
    assert cfg.train_dataloader.sampler == dict(type="ClusterBalancedSampler")


@pytest.mark.parametrize("method", SUPERVISION)
@pytest.mark.parametrize("data", ["k400", "sounding-shapes"])
def test_methods_of_deep_clustering_differ_in_supervision_alone(method, data):
    names = [f"demo/{m}_sounding-shapes.py" for m in (method, "xdc")]
    if data == "k400":
        network = "resnet18_8xb32-2s" if method == "xdc-audio" else "r2plus1d-18_8xb32-8x224"
        names = [f"deep_clustering/{n}.py" for n in (f"{method}_{network}-60e_k400", XDC)]
    cfg, base = (load(f"cmac_mm::{name}") for name in names)
    assert cfg.model.head.supervision == SUPERVISION[method]
    for name in ("visual", "audio"):
        backbone = cfg.model[f"{name}_backbone"]
        assert (backbone is None) == (method in ("xdc-visual", "xdc-audio") and name not in method)
        cfg.model[f"{name}_backbone"] = base.model[f"{name}_backbone"]
    cfg.model.head.supervision = base.model.head.supervision
    # Encoders that know nothing of each other are not balanced over each other's clusters.
    assert cfg.model.pop("balance_own", False) == (method == "sdc")
    assert cfg.to_dict() == base.to_dict()


@pytest.mark.parametrize("k", [64, 128, 256, 512, 1024])
def test_number_of_clusters_is_one_option(k):
    name = f"cmac_mm::deep_clustering/{XDC.replace('xdc', 'mdc')}.py"
    cfg = cmac_mm.load_config(name, {"model.head.num_clusters": k})
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    assert {tuple(head.weight.shape) for head in model.head.classifiers.values()} == {(k, 512)}


def test_last_round_of_xdc_has_32_frames():
    cfg, base = deep_clustering("xdc_r2plus1d-18_8xb8-32x224-30e_k400"), deep_clustering(XDC)
    assert cfg.load_from == f"work_dirs/{XDC}/epoch_60.pth"
    assert base.train_cfg.max_epochs == 60
    assert cfg.custom_hooks[-1] == dict(type="ClusteringHook", num_rounds=0, restart=["visual"])
    assert cfg.model == base.model
    for loader in ("train_dataloader", "test_dataloader"):
        steps, old = ([dict(step) for step in c[loader].dataset.pipeline] for c in (cfg, base))
        changed = {step["type"] for step, other in zip(steps, old, strict=True) if step != other}
        assert changed == {"SampleClips", "DecodeAudioVisual"}
        assert next(s for s in steps if s["type"] == "SampleClips")["duration"] == 32 / 30
        assert next(s for s in steps if s["type"] == "DecodeAudioVisual")["clip_len"] == 32
    step = cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts
    assert step == base.train_dataloader.batch_size


@pytest.mark.parametrize("method", ["sdc", "mdc", "cdc", "xdc"])
def test_deep_clustering_on_cmacs_input_differs_in_method_alone(method):
    cfg = deep_clustering(f"{method}_cmac-input_8xb16-32x128-200e_k400")
    cmac = load("cmac_mm::cmac_k400.py")
    assert cfg.model.head.supervision == SUPERVISION[method]
    for key in ("visual_backbone", "audio_backbone", "data_preprocessor"):
        assert cfg.model[key] == cmac.model[key]
    for key in ("optim_wrapper", "param_scheduler", "train_cfg"):
        assert cfg[key] == cmac[key]
    assert cfg.train_dataloader.dataset == cmac.train_dataloader.dataset
    hook = cfg.custom_hooks[-1]
    assert cfg.train_cfg.max_epochs % hook.epochs_per_round == 0


def test_demos_of_deep_clustering_have_cmacs_budget():
    cfg, cmac = (load(f"cmac_mm::demo/{m}_sounding-shapes.py") for m in ("xdc", "cmac"))
    for key in ("optim_wrapper", "param_scheduler", "train_cfg", "test_dataloader"):
        assert cfg[key] == cmac[key]
    for key in ("visual_backbone", "audio_backbone", "data_preprocessor"):
        assert cfg.model[key] == cmac.model[key]
    assert cfg.train_dataloader.dataset == cmac.train_dataloader.dataset
    assert cfg.train_dataloader.batch_size == cmac.train_dataloader.batch_size
    assert 8 <= cfg.model.head.num_clusters <= 32


def metafiles():
    """The content of all metafiles that model-index.yml names."""
    root = CONFIG_DIR.parent
    names = yaml.safe_load((root / "model-index.yml").read_text())["Import"]
    found = {str(path.relative_to(root)) for path in CONFIG_DIR.rglob("metafile.yml")}
    assert len(names) == len(found) and set(names) == found
    return {name: yaml.safe_load((root / name).read_text()) for name in names}


def test_every_config_is_in_a_metafile():
    contents = metafiles().values()
    models = [model for content in contents for model in content["Models"]]
    assert sorted(model["Config"] for model in models) == [f"configs/{name}" for name in CONFIGS]
    assert [model["Name"] for model in models] == [Path(model["Config"]).stem for model in models]
    assert len({model["Name"] for model in models}) == len(models)
    collections = [part for content in contents for part in content.get("Collections", [])]
    names = [collection["Name"] for collection in collections]
    assert len(set(names)) == len(names)
    assert {model["In Collection"] for model in models} == set(names)
    for collection in collections:
        assert (CONFIG_DIR.parent / collection["README"]).is_file()
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", collection["Paper"]["URL"])
        assert collection["Paper"]["Title"]


FIELDS = {"Name", "Config", "In Collection", "Metadata", "Modality", "Results", "Weights"}
TRAINING = {"Batch Size", "Epochs", "Training Data", "Training Resources"}


@pytest.mark.parametrize(
    "model",
    [m for content in metafiles().values() for m in content["Models"]],
    ids=lambda m: m["Name"],
)
def test_metafile_tells_what_the_config_has(model):
    assert set(model) == FIELDS
    cfg = load(str(CONFIG_DIR.parent / model["Config"]))
    backbones = [cfg.model.get(f"{name}backbone") for name in ("visual_", "audio_", "")]
    kinds = dict(R2Plus1D="Video", X3D="Video", AudioResNet="Audio", AVIDAudioNet="Audio")
    modality = [kinds[backbone.type] for backbone in backbones if backbone]
    assert [model["Modality"]] == [modality] or [model["Modality"]] == modality
    metadata = model["Metadata"]
    assert set(metadata) == {"Architecture"} | (TRAINING if cfg.get("train_cfg") else set())
    if "Epochs" in metadata:
        assert metadata["Epochs"] == cfg.train_cfg.max_epochs
        assert metadata["Batch Size"] == cfg.train_dataloader.batch_size
        if gpus := re.search(r"_(\d+)xb", model["Name"]):
            assert metadata["Training Resources"].split()[0] == gpus[1]
    (result,) = model["Results"]
    assert set(result) == {"Dataset", "Task", "Metrics"} and result["Task"]
    assert metadata.get("Training Data", result["Dataset"]) == result["Dataset"]
    # Nobody has trained the others.
    figures = (result["Metrics"] or {}).values()
    assert all(value is None for value in figures) or "/demo/" in model["Config"]
    assert model["Weights"] is None
