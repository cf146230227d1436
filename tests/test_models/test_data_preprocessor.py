import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import default_collate, pseudo_collate

import cmac_mm  # noqa: F401
from cmac_mm.models import AudioVisualDataPreprocessor, RecognizerDataPreprocessor


def _clips(*lead):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (*lead, 3, 2, 8, 8), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("lead", [(2,), (2, 3)])
def test_normalisation_against_loop(lead):
    preprocess = AudioVisualDataPreprocessor(
        mean=(1, 2, 3), std=(4, 5, 6), audio_mean=0.5, audio_std=2
    )
    imgs, audio = _clips(*lead), torch.randn(*lead, 1, 4, 5)
    out = preprocess(dict(inputs=dict(imgs=imgs, audio=audio), data_samples=["a"]), training=True)
    for channel, (mean, std) in enumerate(((1, 4), (2, 5), (3, 6))):
        expected = (imgs.select(-4, channel).float() - mean) / std
        torch.testing.assert_close(out["inputs"]["imgs"].select(-4, channel), expected)
    torch.testing.assert_close(out["inputs"]["audio"], (audio - 0.5) / 2)
    assert out["data_samples"] == ["a"]
    assert imgs.dtype == torch.uint8  # the batch itself is untouched


def test_clips_leave_in_channels_last():
    out = AudioVisualDataPreprocessor()(dict(inputs=dict(imgs=_clips(2))))
    assert out["inputs"]["imgs"].is_contiguous(memory_format=torch.channels_last_3d)


def test_jitter_is_one_draw_a_clip():
    """All frames of a clip change alike, clips differ, and evaluation is left alone."""
    preprocess = AudioVisualDataPreprocessor(
        mean=(0, 0, 0), std=(1, 1, 1), color_jitter=dict(brightness=0.4, contrast=0, hue=0)
    )
    frame = torch.randint(10, 100, (3, 1, 8, 8), dtype=torch.uint8)
    imgs = frame.expand(4, 3, 5, 8, 8).contiguous()
    torch.manual_seed(0)
    out = preprocess(dict(inputs=dict(imgs=imgs)), training=True)["inputs"]["imgs"]
    factors = (out / imgs).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-4, atol=0)
    assert len({round(f, 4) for f in factors[:, 0].tolist()}) == 4
    assert ((factors >= 0.6) & (factors <= 1.4001)).all()
    plain = preprocess(dict(inputs=dict(imgs=imgs)), training=False)["inputs"]["imgs"]
    torch.testing.assert_close(plain, imgs.float())


def test_hue_jitter_stays_in_range():
    preprocess = AudioVisualDataPreprocessor(
        mean=(0, 0, 0),
        std=(1, 1, 1),
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    )
    out = preprocess(dict(inputs=dict(imgs=_clips(3, 2))), training=True)["inputs"]["imgs"]
    assert out.shape == (3, 2, 3, 2, 8, 8)
    assert out.min() >= 0 and out.max() <= 255.01


def test_pictures_as_bytes_and_back():
    """To the last bit; and those that are no whole numbers are known."""
    preprocess = AudioVisualDataPreprocessor(color_jitter=dict(brightness=0.4))
    values = torch.arange(256, dtype=torch.uint8)
    imgs = values.repeat(3)[:, None, None].expand(768, 2, 2).reshape(1, 3, 256, 2, 2).contiguous()
    out = preprocess(dict(inputs=dict(imgs=imgs)))["inputs"]["imgs"]
    assert preprocess.whole_numbers
    again = preprocess.to_bytes(out)
    assert again.dtype == torch.uint8 and torch.equal(again, imgs)
    assert torch.equal(preprocess.normalize(again), out)
    preprocess(dict(inputs=dict(imgs=imgs)), training=True)
    assert not preprocess.whole_numbers
    preprocess(dict(inputs=dict(imgs=imgs.float())))
    assert not preprocess.whole_numbers


def test_refuses():
    with pytest.raises(ValueError, match="three values"):
        AudioVisualDataPreprocessor(mean=(0,))


@pytest.mark.parametrize("lead", [(), (2,)])
def test_takes_lists_as_the_default_collation_leaves_them(lead):
    """MMEngine's default is pseudo_collate, and MMAction2's inference knows no other."""
    options = dict(brightness=0.4, hue=0.2)
    preprocess = AudioVisualDataPreprocessor(audio_mean=0.5, audio_std=2, color_jitter=options)
    packed = [
        dict(
            inputs=dict(imgs=_clips(*lead) + n, audio=torch.randn(*lead, 1, 4, 5)),
            data_samples=ActionDataSample(metainfo=dict(sample_seed=n)),
        )
        for n in range(3)
    ]
    ours, default = (
        preprocess(collate(packed), training=True) for collate in (default_collate, pseudo_collate)
    )
    assert ours["inputs"]["imgs"].shape == (3, *lead, 3, 2, 8, 8)
    for key, x in ours["inputs"].items():
        assert torch.equal(default["inputs"][key], x)
    assert [sample.sample_seed for sample in default["data_samples"]] == [0, 1, 2]
    recognizer = RecognizerDataPreprocessor()
    for sample in packed:
        del sample["inputs"]["audio"]
    assert torch.equal(
        recognizer(default_collate(packed))["inputs"], recognizer(pseudo_collate(packed))["inputs"]
    )


def test_refuses_other_inputs():
    preprocess = AudioVisualDataPreprocessor()
    with pytest.raises(ValueError, match=r"inputs are a Tensor, expected a dict.*PackAudioVisual"):
        preprocess(dict(inputs=_clips(2)))
    with pytest.raises(ValueError, match=r"imgs of one batch must have one shape, got \[\(3, 1, "):
        preprocess(dict(inputs=dict(imgs=[_clips(), _clips()[:, :1]])))
