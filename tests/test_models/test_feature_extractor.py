"""Features of real videos against a script of PyAV and torchvision; poolings against loops."""

import av
import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torchvision.models.video import r2plus1d_18

import cmac_mm
from cmac_mm.models.feature_extractor import FeatureExtractor
from cmac_mm.models.layers import pool_feature_map
from cmac_mm.utils import load_weights

THIN = dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1))
SOUND = dict(type="AudioResNet", depth=9, base_channels=4)
CLIP_LEN, CLIPS, FPS, SIZE = 8, 2, 30, 64


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")
    torch.set_num_threads(1)


def plain_features(path, network):
    """What the CMAC protocol says, in few lines and with nothing of this project.

    All frames are decoded and counted; a frame is shown from its number / frame rate on.
    """
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate)
        for frame in container.decode(stream):
            frames.append(frame.to_ndarray(format="rgb24"))
    total = len(frames) / rate
    clips = []
    for start in np.linspace(0, total - CLIP_LEN / FPS, CLIPS):
        # The reader takes a frame as shown 0.6 ms early, for containers that round time stamps.
        numbers = [int((start + i / FPS + 6e-4) * rate) for i in range(CLIP_LEN)]
        clip = np.stack([frames[min(number, len(frames) - 1)] for number in numbers])
        top, left = (clip.shape[1] - SIZE) // 2, (clip.shape[2] - SIZE) // 2
        clips.append(clip[:, top : top + SIZE, left : left + SIZE])
    x = torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float()
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1, 1)
    with torch.no_grad():
        return network((x - mean) / std).mean(dim=0)


def test_features_agree_with_an_independent_script(media_dir, tmp_path):
    """The retrieval config with fewer, smaller clips to save time, cut from unscaled pictures."""
    torch.manual_seed(0)
    network = r2plus1d_18().eval()
    with torch.no_grad():  # statistics unlike the initial ones
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    state = {f"visual_backbone.{k}": v for k, v in network.state_dict().items()}
    torch.save({k: v for k, v in state.items() if ".fc." not in k}, tmp_path / "checkpoint.pth")
    network.fc = torch.nn.Identity()

    files = sorted((media_dir / "ucf101_mini/UCF-101").rglob("*.avi"))[::29]
    assert len(files) == 3
    (tmp_path / "list.txt").write_text("".join(f"{path} 0\n" for path in files))
    cfg = cmac_mm.load_config("cmac_mm::retrieval/cmac_r2plus1d-18_32x128_ucf101.py")
    data = cfg.test_dataloader.dataset.gallery
    data.ann_file = str(tmp_path / "list.txt")
    data.pipeline[1].update(duration=CLIP_LEN / FPS, num_clips=CLIPS)
    data.pipeline[2].update(clip_len=CLIP_LEN, short_side=None)
    data.pipeline[3].crop_size = SIZE
    loader = Runner.build_dataloader(
        Config({**cfg.test_dataloader, "dataset": data, "num_workers": 0, "batch_size": 2})
    )
    model = MODELS.build(cfg.model).eval()
    load_weights(model.backbone, tmp_path / "checkpoint.pth", "visual_backbone.")
    with torch.no_grad():
        samples = [sample for batch in loader for sample in model.test_step(batch)]
    for path, sample in zip(files, samples, strict=True):
        expected = plain_features(path, network)
        assert sample.filename == str(path)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(sample.visual_feature, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 5), (2, 3, 4, 7), (1, 1, 2, 2, 2)])
def test_poolings_equal_slow_loops(shape):
    x = torch.randn(shape)
    for b in range(shape[0]):
        channels = [x[b, c] for c in range(shape[1])]
        mean = torch.stack(
            [sum(channel.flatten().tolist()) * torch.ones(()) for channel in channels]
        )
        torch.testing.assert_close(
            pool_feature_map(x, "avg")[b], mean / channels[0].numel(), rtol=1e-4, atol=1e-6
        )
        largest = torch.tensor([max(channel.flatten().tolist()) for channel in channels])
        assert torch.equal(pool_feature_map(x, "max")[b], largest)
        assert torch.equal(
            pool_feature_map(x, "none")[b], torch.cat([c.flatten() for c in channels])
        )
        blocks = []
        for channel in channels:
            sizes = [size // 2 for size in channel.shape]
            for place in np.ndindex(*sizes):
                block = channel[tuple(slice(2 * i, 2 * i + 2) for i in place)]
                blocks.append(max(block.flatten().tolist()))
        assert torch.equal(pool_feature_map(x, "max2")[b], torch.tensor(blocks))


def test_clips_are_averaged_normalised_or_kept():
    imgs = torch.randn(2, 3, 3, 4, 16, 16)
    models = {}
    for normalise in (False, True):
        for average in (False, True):
            torch.manual_seed(0)
            models[normalise, average] = FeatureExtractor(
                THIN, normalize_clips=normalise, average_clips=average
            ).eval()
    with torch.no_grad():
        got = {key: model(dict(imgs=imgs)) for key, model in models.items()}
        single = torch.stack(
            [models[False, True](dict(imgs=imgs[:, clip])) for clip in range(3)], dim=1
        )
    assert got[False, False].shape == (2, 3, 32)
    torch.testing.assert_close(got[False, False], single)
    torch.testing.assert_close(got[False, True], single.mean(dim=1))
    unit = single / single.norm(dim=2, keepdim=True)
    torch.testing.assert_close(got[True, False], unit)
    torch.testing.assert_close(got[True, True], unit.mean(dim=1))  # not normalised again


def test_sound_and_predictions():
    model = FeatureExtractor(SOUND, modality="audio", pooling="max").eval()
    samples = model(dict(audio=torch.randn(2, 5, 1, 64, 40)), mode="predict")
    assert [sample.audio_feature.shape for sample in samples] == [(32,), (32,)]
    assert "visual_feature" not in samples[0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="modality must be 'visual' or 'audio', got 'text'"):
        FeatureExtractor(THIN, modality="text")
    with pytest.raises(ValueError, match="pooling must be one of avg, max, max2, none, got 'mean'"):
        FeatureExtractor(THIN, pooling="mean")
    model = FeatureExtractor(THIN, pooling="max2").eval()
    with pytest.raises(ValueError, match="inputs lack 'imgs'"):
        model(dict(audio=torch.zeros(1)))
    with pytest.raises(ValueError, match="imgs must have 5 axes"):
        model(dict(imgs=torch.zeros(3, 4, 16, 16)))
    with pytest.raises(ValueError, match="mode must be"):
        model(dict(imgs=torch.zeros(1, 3, 4, 16, 16)), mode="loss")
    with pytest.raises(ValueError, match="'max2' needs 2 or more positions along each axis"):
        model(dict(imgs=torch.zeros(1, 3, 4, 16, 16)))
