"""Sampling, decoding and packing; MMAction2's transforms in between."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from helpers.media_tools import all_frames, write_video
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from cmac_mm.datasets import DecodeAudioVisual, PackAudioVisual, SampleClips

KINETICS = "torchvision_videos/WUzgd7C1pWA.mp4"


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


def sample(total: float, **kwargs: object) -> dict:
    return SampleClips(**kwargs)(dict(total_duration=total))


def test_random_starts_fill_the_file_and_follow_the_seed():
    np.random.seed(0)
    starts = np.array(sample(10.0, duration=1.0, num_clips=2000)["clip_start"])
    assert 0 <= starts.min() < 0.05
    assert 8.95 < starts.max() <= 9.0
    assert abs(starts.mean() - 4.5) < 0.2
    np.random.seed(0)
    assert sample(10.0, duration=1.0, num_clips=2000)["clip_start"] == starts.tolist()


def test_uniform_starts():
    assert sample(10.0, duration=1.0, mode="uniform")["clip_start"] == [4.5]
    got = sample(10.0, duration=1.0, mode="uniform", num_clips=10)
    assert got["clip_start"] == got["audio_start"] == pytest.approx(list(range(10)))
    got = sample(10.0, duration=0.5, audio_duration=2.0, mode="uniform", num_clips=3)
    assert got["clip_start"] == got["audio_start"] == pytest.approx([0, 4, 8])


def test_clips_of_one_start():
    np.random.seed(0)
    drawn = [sample(10.0, duration=1.0, num_clips=2, same_start=True) for _ in range(20)]
    for got in drawn:
        assert got["clip_start"] == got["audio_start"] and len(set(got["clip_start"])) == 1
    assert len({got["clip_start"][0] for got in drawn}) == 20
    got = sample(10.0, duration=1.0, num_clips=3, same_start=True, visual_offset=(-0.5, 2.0))
    assert [len(set(got[key])) for key in ("clip_start", "audio_start")] == [1, 1]
    with pytest.raises(ValueError, match="same_start"):
        SampleClips(1.0, num_clips=2, mode="uniform", same_start=True)


@pytest.mark.parametrize("mode", ["random", "uniform"])
def test_file_shorter_than_the_clip(mode):
    got = sample(0.4, duration=1.0, num_clips=3, mode=mode)
    assert got["clip_start"] == got["audio_start"] == [0, 0, 0]
    got = sample(0.4, duration=1.0, audio_duration=2.0, visual_offset=(-0.5, 2.0))
    assert got["clip_start"] == got["audio_start"] == [0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(duration=0), "duration"),
        (dict(duration=1, audio_duration=-1), "audio_duration"),
        (dict(duration=1, num_clips=0), "num_clips"),
        (dict(duration=1, mode="dense"), "mode"),
        (dict(duration=1, visual_offset=(1, 0)), "visual_offset"),
        (dict(duration=1, mode="uniform", visual_offset=(0, 1)), "visual_offset"),
    ],
)
def test_sampling_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SampleClips(**kwargs)


@pytest.mark.parametrize("kwargs", [dict(fps=0), dict(sample_rate=-1), dict(clip_len=0)])
def test_decoding_arguments(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        DecodeAudioVisual(**kwargs)


def decode(path: Path, starts: list[float], duration: float = 1.0, **kwargs: object) -> dict:
    results = Compose([dict(type="OpenAudioVisual", need_audio=False)])(dict(filename=str(path)))
    results.update(clip_start=starts, clip_duration=duration)
    results = Compose([dict(type="DecodeAudioVisual", **kwargs)])(results)
    assert "media" not in results
    return results


def test_decoded_results_have_mmaction2s_keys(media_dir):
    results = decode(media_dir / KINETICS, [1.0, 2.0], fps=16, clip_len=8, short_side=100)
    assert len(results["imgs"]) == 16
    assert all(
        image.dtype == np.uint8 and image.shape == (100, 132, 3) for image in results["imgs"]
    )
    assert results["img_shape"] == (100, 132)
    assert results["original_shape"] == (256, 340)
    assert (results["num_clips"], results["clip_len"], results["modality"]) == (2, 8, "RGB")


@pytest.mark.parametrize("fps", [5, 8, 24, 30, 60])
def test_frame_rate_of_the_result(media_dir, fps):
    """Picture i is the one on screen at start + i / fps, also where it repeats."""
    path = media_dir / KINETICS
    clock, images = all_frames(path)
    results = decode(path, [3.3], fps=fps)
    assert len(results["imgs"]) == fps
    for i, got in enumerate(results["imgs"]):
        place = np.searchsorted(clock, 3.3 + i / fps + 6e-4, side="right") - 1
        np.testing.assert_array_equal(got, images[place])


def test_last_picture_is_held(tmp_path):
    path = tmp_path / "short.mp4"
    write_video(path, fps=10, seconds=0.5)
    _, images = all_frames(path)
    results = decode(path, [0.0], fps=10, clip_len=12)
    for i, got in enumerate(results["imgs"]):
        np.testing.assert_array_equal(got, images[min(i, 4)])


@pytest.mark.parametrize(
    ("short_side", "size"), [(144, (144, 192)), (300, (300, 398)), (72, (72, 96))]
)
def test_scaling_is_close_to_opencvs(media_dir, short_side, size):
    path = media_dir / KINETICS
    native = decode(path, [2.0], fps=5)["imgs"]
    scaled = decode(path, [2.0], fps=5, short_side=short_side)["imgs"]
    for got, image in zip(scaled, native, strict=True):
        assert got.shape[:2] == size
        method = cv2.INTER_AREA if short_side < 256 else cv2.INTER_LINEAR
        want = cv2.resize(image, size[::-1], interpolation=method)
        assert np.abs(got.astype(float) - want).mean() < 5


@pytest.mark.parametrize("size", [(50, 38), (66, 34), (130, 98), (322, 242)])
def test_lines_are_not_sheared_by_padding(tmp_path, size):
    """A vertical edge stays vertical whatever the width, which need not fill FFmpeg's lines."""
    path = tmp_path / "edge.mkv"
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:, size[0] // 2 :] = 255
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "bgr0"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    np.testing.assert_array_equal(decode(path, [0.0], fps=10, clip_len=2)["imgs"][1], image)


def test_flip_in_place_does_not_meet_a_picture_twice(tmp_path):
    """MMAction2 flips in place; repeated pictures and overlapping clips must not share memory."""
    path = tmp_path / "edge.mp4"
    write_video(path, fps=5, seconds=3, noise=np.random.default_rng(0))
    plain = decode(path, [0.0, 0.5], fps=20)["imgs"]
    results = decode(path, [0.0, 0.5], fps=20)
    flipped = Compose([dict(type="Flip", flip_ratio=1.0)])(results)["imgs"]
    for image, mirrored in zip(plain, flipped, strict=True):
        np.testing.assert_array_equal(image[:, ::-1], mirrored)


def coordinates(num_clips: int = 1, clip_len: int = 3, size: tuple[int, int] = (60, 80)) -> dict:
    """Pictures whose pixels hold (row, column, index)."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    images = [
        np.stack([rows, columns, np.full_like(rows, i)], -1) for i in range(num_clips * clip_len)
    ]
    return dict(
        imgs=images,
        img_shape=size,
        original_shape=size,
        modality="RGB",
        num_clips=num_clips,
        clip_len=clip_len,
    )


def test_mmaction2s_crops_keep_their_place_in_the_quadruple():
    np.random.seed(0)
    for _ in range(20):
        results = Compose([dict(type="RandomCrop", size=32)])(coordinates())
        x, y, w, h = results["crop_quadruple"]
        image = results["imgs"][0]
        assert image.shape == (32, 32, 3)
        assert (image[0, 0, 1], image[0, 0, 0]) == (round(x * 80), round(y * 60))
        assert (w, h) == pytest.approx((32 / 80, 32 / 60))
        results = Compose([dict(type="RandomResizedCrop", area_range=(0.2, 0.8))])(coordinates())
        x, y, w, h = results["crop_quadruple"]
        image = results["imgs"][-1]
        assert (image[0, 0, 1], image[0, 0, 0]) == (round(x * 80), round(y * 60))
        assert image.shape[:2] == (round(h * 60), round(w * 80))
    results = Compose([dict(type="CenterCrop", crop_size=32)])(coordinates())
    assert tuple(results["imgs"][0][0, 0, :2]) == (14, 24)


def test_mmaction2s_resize_on_todays_numpy_and_opencv(media_dir):
    results = decode(media_dir / KINETICS, [2.0], fps=5)
    want = [cv2.resize(image, (191, 144)) for image in results["imgs"]]
    resized = Compose([dict(type="Resize", scale=(-1, 144))])(results)
    assert resized["img_shape"] == (144, 191)
    for got, image in zip(resized["imgs"], want, strict=True):
        np.testing.assert_array_equal(got, image)


PER_CLIP = dict(
    type="PerClip",
    transforms=[
        dict(type="RandomResizedCrop", area_range=(0.3, 0.9)),
        dict(type="Resize", scale=(32, 32), keep_ratio=False),
        dict(type="Flip", flip_ratio=0.5),
    ],
)


def test_per_clip_draws_for_each_clip_and_keeps_a_clip_together():
    np.random.seed(0)
    per_clip = Compose([PER_CLIP])
    results = per_clip(coordinates(num_clips=6, clip_len=3))
    assert len(results["imgs"]) == 18
    assert (results["num_clips"], results["img_shape"]) == (6, (32, 32))
    assert len(results["crop_quadruple"]) == len(results["flip"]) == 6
    assert len({tuple(quadruple) for quadruple in results["crop_quadruple"]}) == 6
    assert len({bool(flip) for flip in results["flip"]}) == 2
    for i, image in enumerate(results["imgs"]):
        assert image[0, 0, 2] == i
        np.testing.assert_array_equal(image[..., :2], results["imgs"][i // 3 * 3][..., :2])
        columns = image[0, :, 1].astype(int)
        assert (columns[-1] < columns[0]) == bool(results["flip"][i // 3])


def test_per_clip_with_one_clip_is_the_transforms_themselves():
    results = Compose([PER_CLIP])(coordinates())
    assert results["crop_quadruple"].shape == (4,)
    assert isinstance(bool(results["flip"]), bool)


def test_per_clip_refuses_clips_of_different_sizes():
    per_clip = Compose(
        [dict(type="PerClip", transforms=[dict(type="RandomResizedCrop", area_range=(0.1, 0.9))])]
    )
    np.random.seed(0)
    with pytest.raises(ValueError, match="came out in sizes"):
        per_clip(coordinates(num_clips=5))


CROP_AND_FLIP = [dict(type="RandomCrop", size=64), dict(type="Flip")]


@pytest.mark.parametrize("num_clips", [1, 3])
@pytest.mark.parametrize(
    "name",
    [
        KINETICS,
        "torchvision_videos/v_SoccerJuggling_g23_c01.avi",
        "nasty/decord__video_90.mov",
        "nasty/mmaction2__video_0.mp4",
        "nasty/torchcodec__nasa_13013.mp4",
    ],
)
@pytest.mark.parametrize(
    "transforms",
    [
        CROP_AND_FLIP,
        [dict(type="RandomCrop", size=64), dict(type="Flip", direction="vertical")],
        [dict(type="CenterCrop", crop_size=(72, 50))],
        [],
    ],
)
def test_crops_of_the_decoder_equal_mmaction2s(media_dir, name, num_clips, transforms):
    """Same draws, same pixels and same meta information as cropping whole pictures."""
    packed = []
    for tail, inside in ([dict(type="PerClip", transforms=transforms)], None), ([], transforms):
        pipeline = Compose(
            [
                dict(type="OpenAudioVisual", need_audio=False),
                dict(type="SampleClips", duration=0.5, num_clips=num_clips),
                dict(type="DecodeAudioVisual", fps=12, short_side=72, transforms=inside),
                *tail,
                dict(type="PackAudioVisual"),
            ]
        )
        np.random.seed(3)
        packed.append(pipeline(dict(filename=str(media_dir / name))))
    whole, cropped = packed
    assert torch.equal(whole["inputs"]["imgs"], cropped["inputs"]["imgs"])
    assert cropped["inputs"]["imgs"].is_contiguous()
    assert str(whole["data_samples"].metainfo) == str(cropped["data_samples"].metainfo)


def test_the_decoder_crops_and_flips_only(media_dir):
    resize = dict(type="Resize", scale=(32, 32), keep_ratio=False)
    for extra, message in (
        ([resize], "cannot resize"),
        ([dict(type="RandomResizedCrop", area_range=(0.1, 0.9))], "came out in sizes"),
    ):
        with pytest.raises(ValueError, match=message):
            decode(media_dir / KINETICS, [1.0, 2.0, 3.0], fps=5, transforms=extra)
    with pytest.raises(TypeError, match="lazy"):
        DecodeAudioVisual(transforms=[dict(type="TenCrop", crop_size=64)])


@pytest.mark.parametrize("num_clips", [1, 4])
def test_packing(num_clips):
    results = coordinates(num_clips)
    audio = torch.randn(num_clips, 1, 257, 100)
    starts = [0.5 * i for i in range(num_clips)]
    results |= dict(audios=audio, label=3, sample_idx=7, filename="a.mp4", clip_start=starts)
    results |= dict(audio_start=starts, clip_duration=1.0)
    packed = PackAudioVisual()(results)
    imgs, sound = packed["inputs"]["imgs"], packed["inputs"]["audio"]
    want = torch.from_numpy(np.stack(results["imgs"])).reshape(num_clips, 3, 60, 80, 3)
    want = want.permute(0, 4, 1, 2, 3)
    if num_clips == 1:
        want, audio = want[0], audio[0]
    assert torch.equal(imgs, want)
    assert torch.equal(sound, audio)
    assert imgs.dtype == torch.uint8
    assert imgs.is_contiguous()
    data_sample = packed["data_samples"]
    assert data_sample.gt_label.tolist() == [3]
    assert data_sample.sample_idx == 7
    assert data_sample.clip_start == starts
    assert data_sample.img_shape == (60, 80)


def test_packing_without_label_or_sound_or_anything():
    packed = PackAudioVisual()(coordinates())
    assert set(packed["inputs"]) == {"imgs"}
    assert "gt_label" not in packed["data_samples"]
    packed = PackAudioVisual()(dict(audios=torch.zeros(1, 1, 40, 10), num_clips=1))
    assert set(packed["inputs"]) == {"audio"}
    with pytest.raises(ValueError, match="neither 'imgs' nor 'audios'"):
        PackAudioVisual()(dict(num_clips=1))


@pytest.mark.parametrize(("crop", "count"), [("ThreeCrop", 3), ("TenCrop", 10)])
@pytest.mark.parametrize("num_clips", [1, 2])
def test_crops_are_packed_as_mmaction2_formats_them(crop, count, num_clips):
    steps = [dict(type=crop, crop_size=60)]
    ours = Compose([*steps, dict(type="PackAudioVisual")])(coordinates(num_clips))
    theirs = Compose([*steps, dict(type="FormatShape", input_format="NCTHW")])
    want = theirs(coordinates(num_clips))["imgs"]
    assert want.shape == (count * num_clips, 3, 3, 60, 60)
    np.testing.assert_array_equal(ours["inputs"]["imgs"].numpy(), want)


def test_pictures_that_are_not_clips_are_refused():
    for length in (0, 5, 7):
        results = coordinates(num_clips=2)
        results["imgs"] = (results["imgs"] * 2)[:length]
        with pytest.raises(ValueError, match=f"{length} pictures are not 2 clips of 3 frames"):
            PackAudioVisual()(results)
    results = coordinates(num_clips=2) | dict(audios=torch.zeros(2, 1, 40, 10))
    with pytest.raises(ValueError, match=r"'imgs': 6, 'audio': 2.*ThreeCrop"):
        Compose([dict(type="ThreeCrop", crop_size=60), dict(type="PackAudioVisual")])(results)
    inside = dict(type="PerClip", transforms=[dict(type="ThreeCrop", crop_size=60)])
    with pytest.raises(ValueError, match=r"made 9 pictures of a clip's 3.*behind PerClip"):
        Compose([inside])(coordinates(num_clips=2))


def test_our_decoder_serves_mmaction2s_own_pipeline(media_dir):
    """Its formatting and packing, and a data set class of its own, on top of our loading."""
    pipeline = Compose(
        [
            dict(type="OpenAudioVisual", need_audio=False),
            dict(type="SampleClips", duration=1.0, num_clips=2, mode="uniform"),
            dict(type="DecodeAudioVisual", fps=8),
            dict(type="Resize", scale=(-1, 64)),
            dict(type="ThreeCrop", crop_size=64),
            dict(type="FormatShape", input_format="NCTHW"),
            dict(type="PackActionInputs"),
        ]
    )
    packed = pipeline(dict(filename=str(media_dir / KINETICS), label=1))
    assert packed["inputs"].shape == (6, 3, 8, 64, 64)
