"""On real files of the built-in set and of the nasty folder, made or decoded for real."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from cmac_mm.apis import inference, init_model
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=48, num_test=24, seed=1, workers=1, num_bad=4)
    return folder


@pytest.fixture(scope="module")
def config(shapes):
    cfg = load_config("cmac_mm::demo/cmac_sounding-shapes.py")
    for loader, name in ((cfg.train_dataloader, "train"), (cfg.test_dataloader, "test")):
        loader.dataset.ann_file = str(shapes / f"{name}.txt")
        loader.dataset.data_prefix = {"video": str(shapes)}
        loader.num_workers = 0
        loader.persistent_workers = False
        loader.batch_size = 8
    return cfg


@pytest.fixture(scope="module")
def checkpoint(config, tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth"
    torch.save({"state_dict": init_model(config).state_dict(), "meta": {"epoch": 1}}, path)
    return path


@pytest.fixture(scope="module")
def video(shapes):
    return shapes / "videos" / "test" / "000000.mp4"


def test_features_and_attention_of_a_path(config, checkpoint, video):
    model = init_model(config, checkpoint)
    assert not model.training
    result, inputs = inference(model, video, return_inputs=True)
    assert result.filename == str(video)
    assert "gt_label" not in result
    assert inputs["imgs"].dtype == torch.uint8
    assert inputs["audio"].dtype == torch.float32
    for modality in ("visual", "audio"):
        assert result.get(f"{modality}_feature").ndim == 1
        assert result.get(f"{modality}_embedding").norm() == pytest.approx(1, abs=1e-5)
    for kind in ("guided", "predicted"):
        for modality, axes in (("visual", 4), ("audio", 3)):
            attention = result.get(f"{kind}_{modality}_attention")
            assert attention.ndim == axes
            assert attention.min() >= 0
            assert attention.max() <= 1
    alone = inference(model, str(video))
    assert torch.equal(alone.visual_feature, result.visual_feature)


def test_weights_come_from_the_checkpoint(config, checkpoint, video):
    first = inference(init_model(config, checkpoint), video)
    again = inference(init_model(config, checkpoint), video)
    random = inference(init_model(config), video)
    assert torch.equal(first.audio_feature, again.audio_feature)
    assert not torch.allclose(first.audio_feature, random.audio_feature)


def test_config_by_name_and_by_path(config, checkpoint, video, tmp_path):
    by_name = init_model("cmac_mm::demo/cmac_sounding-shapes.py", checkpoint)
    path = tmp_path / "config.py"
    config.dump(path)
    by_path = init_model(path, checkpoint)
    assert torch.equal(
        inference(by_name, video).visual_feature, inference(by_path, video).visual_feature
    )


def test_random_weights_do_not_flood_the_log(config, capsys):
    init_model(config)
    out = capsys.readouterr()
    assert out.out + out.err == ""


def test_unusable_videos_are_named(config, shapes, tmp_path):
    model = init_model(config)
    flaws = dict(line.split() for line in (shapes / "bad_files.txt").read_text().splitlines())
    reasons = {"no_audio": "no audio stream", "truncated": "", "empty": ""}
    for path, flaw in flaws.items():
        if flaw in reasons:
            with pytest.raises(ValueError, match=f"{path}: .*{reasons[flaw]}"):
                inference(model, shapes / path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4 does not exist"):
        inference(model, tmp_path / "nowhere.mp4")


def test_real_videos(config, media_dir):
    model = init_model(config)
    result = inference(model, media_dir / "torchvision_videos" / "SOX5yA1l24A.mp4")
    assert torch.isfinite(result.visual_feature).all()
    assert torch.isfinite(result.guided_audio_attention).all()
    for name in (
        "ucf101__v_BaseballPitch_g06_c04.avi",  # no sound
        "moviepy__result.webm",  # zero length
        "exoplayer__sample_ac3_aac.mp4",  # no picture
    ):
        with pytest.raises(ValueError, match=name):
            inference(model, media_dir / "nasty" / name)


def test_bad_model_is_refused(config, video, tmp_path):
    with pytest.raises(ValueError, match="no config with a test_dataloader"):
        inference(torch.nn.Identity(), video)
    model = init_model(Config({"model": config.model}))
    with pytest.raises(ValueError, match=r"the config has no test_dataloader\.dataset\.pipeline"):
        inference(model, video)
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth"):
        init_model(config, tmp_path / "nothing.pth")
    other = tmp_path / "other.pth"
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, other)
    with pytest.raises(RuntimeError, match="missing in the file"):
        init_model(config, other)
    unsafe = tmp_path / "unsafe.pth"
    torch.save({"state_dict": {}, "meta": Path("x")}, unsafe)
    with pytest.raises(RuntimeError, match="refused"):
        init_model(config, unsafe)


@pytest.mark.parametrize("missing", ["test_dataloader", "dataset", "pipeline", "None"])
def test_a_config_without_a_test_part_says_what_to_add(config, video, tmp_path, missing):
    cfg = copy.deepcopy(config)
    if missing == "None":
        cfg.test_dataloader = None
    else:
        part = dict(
            test_dataloader=cfg._cfg_dict,
            dataset=cfg.get("test_dataloader"),
            pipeline=cfg.get("test_dataloader").dataset,
        )[missing]
        part.pop(missing)
    model = init_model(cfg)
    with pytest.raises(
        ValueError, match=r"cmac_sounding-shapes\.py has no test_dataloader\.dataset\."
    ) as info:
        inference(model, video)
    assert "add test_dataloader=dict(dataset=dict(pipeline=[...]))" in str(info.value)


def test_a_pipeline_inside_of_wrappers_is_found(config, video):
    cfg = copy.deepcopy(config)
    plain = inference(init_model(cfg), video)
    for wrapped in (
        dict(type="RepeatDataset", times=2, dataset=cfg.test_dataloader.dataset),
        dict(type="ConcatDataset", datasets=[cfg.test_dataloader.dataset]),
    ):
        torch.manual_seed(0)
        model = init_model(cfg)
        model.cfg = copy.deepcopy(cfg)
        model.cfg.test_dataloader.dataset = wrapped
        assert inference(model, video).visual_feature.shape == plain.visual_feature.shape
