"""Pictures after a seek are those of decoding from the start, and stand as players show them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.media_tools import all_frames, write_pictures
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from cmac_mm.datasets.av_reader import MediaFile, read_frames
from cmac_mm.preparation import EncodeSettings, encode_video
from cmac_mm.preparation.check import Criteria, check_file

WIDTH, HEIGHT, COUNT = 64, 48, 50
# Codecs that can be written here, in a container that stores them, with a format of pixels each.
CODECS = [
    ("libx264", ".mp4", "yuv420p"),
    ("libx264", ".mkv", "yuv444p"),
    ("libx265", ".mp4", "yuv420p"),
    ("libsvtav1", ".mkv", "yuv420p"),
    ("libvpx", ".webm", "yuv420p"),
    ("libvpx-vp9", ".webm", "yuv420p"),
    ("mpeg4", ".mp4", "yuv420p"),
    ("mpeg4", ".avi", "yuv420p"),
    ("mpeg2video", ".ts", "yuv420p"),
    ("mjpeg", ".mov", "yuvj420p"),
    ("msmpeg4", ".asf", "yuv420p"),
    ("wmv2", ".asf", "yuv420p"),
    ("flv", ".flv", "yuv420p"),
    ("flashsv", ".flv", "bgr24"),
    ("prores_ks", ".mov", "yuv422p10le"),
    ("ffv1", ".mkv", "yuv420p"),
    ("ffvhuff", ".nut", "yuv420p"),
    ("huffyuv", ".avi", "yuv422p"),
    ("huffyuv", ".nut", "yuv422p"),
    ("utvideo", ".nut", "gbrp"),
    ("magicyuv", ".avi", "gbrp"),
    ("jpeg2000", ".mov", "rgb24"),
    ("cinepak", ".mov", "rgb24"),
    ("qtrle", ".mov", "rgb24"),
    ("qtrle", ".mov", "gray"),
    ("png", ".mov", "rgb24"),
    ("png", ".mov", "pal8"),
    ("rawvideo", ".mov", "pal8"),
    ("rawvideo", ".avi", "pal8"),
    ("rawvideo", ".nut", "pal8"),
    ("rawvideo", ".avi", "bgr24"),
    ("msrle", ".avi", "pal8"),
    ("msrle", ".mov", "pal8"),
    ("smc", ".mov", "pal8"),
    ("rpza", ".mov", "rgb555le"),
    ("zmbv", ".avi", "pal8"),
    ("zmbv", ".nut", "pal8"),
    ("msvideo1", ".avi", "rgb555le"),
    ("gif", ".gif", "pal8"),
    ("apng", ".apng", "rgb24"),
]
QUICK = {"libsvtav1": {"preset": "12"}, "libx265": {"preset": "ultrafast"}, "cinepak": {}}


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


def moving(pixel_format: str) -> Iterator[av.VideoFrame]:
    """A white square on its way over a still, bright pattern: most of a picture never changes."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for k in range(COUNT):
        if pixel_format == "pal8":
            image = ((x // 8 + y // 8) % 100 + 20).astype(np.uint8)
            image[10:16, k : k + 6] = 200
            levels = np.arange(256)
            palette = np.stack([0 * levels + 255, levels, 255 - levels, 0 * levels + 128], axis=1)
            yield av.VideoFrame.from_ndarray((image, palette.astype(np.uint8)), format="pal8")
        else:
            image = np.stack([x * 3 + 40, y * 4 + 40, x + y + 60], axis=2).astype(np.uint8)
            image[10:16, k : k + 6] = 255
            yield av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)


def shown_at(path: Path, time: float) -> np.ndarray:
    found = []
    media = MediaFile(str(path), need_audio=False)
    try:
        read_frames(media, [time], lambda _, frame: found.append(frame.to_ndarray(format="rgb24")))
    finally:
        media.close()
    return found[-1]


@pytest.mark.parametrize(("codec", "suffix", "pixel_format"), CODECS, ids="".join)
def test_a_seek_loses_nothing(tmp_path, codec, suffix, pixel_format):
    path = tmp_path / f"made{suffix}"
    write_pictures(path, codec, moving(pixel_format), QUICK.get(codec))
    times, images = all_frames(path)
    assert np.mean(images) > 60
    rng = np.random.default_rng(0)
    for time in [*rng.uniform(0, 1.9, 6), 1.96]:
        expected = images[np.searchsorted(times, time + 6e-4, side="right") - 1]
        np.testing.assert_array_equal(shown_at(path, time), expected)


@pytest.mark.parametrize("name", ["pal_raw.mov", "pal_qtrle.mov"])
def test_palettes_of_real_files(media_dir, name):
    """Frame 5 is shown at 0.2 s; its number is written in bars, the last bit on the left."""
    path = media_dir / "nasty2" / name
    bars = shown_at(path, 0.2).mean(axis=(0, 2)).reshape(12, -1).mean(axis=1)
    assert sum(1 << bit for bit in range(12) if bars[bit] > bars.mean()) == 5
    assert check_file(path, name, Criteria(need="picture", full=True)).verdict == "ok"


def marked() -> np.ndarray:
    """Another colour in each corner."""
    image = np.full((48, 96, 3), 40, np.uint8)
    image[:16, :24], image[:16, -24:], image[-16:, :24] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    return image


def still(image: np.ndarray, count: int = 30) -> list[av.VideoFrame]:
    frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for _ in range(count)]
    return [frame.reformat(format="yuv420p") for frame in frames]


def load(path: Path, **options: object) -> dict:
    opening = Compose([dict(type="OpenAudioVisual", need_audio=False)])
    decode = Compose([dict(type="DecodeAudioVisual", fps=25, clip_len=4, **options)])
    results = opening(dict(filename=str(path)))
    results.update(clip_start=[0.5], clip_duration=0.2)
    return decode(results)


def in_every_way(path: Path, target: Path, short_side: int | None) -> list[np.ndarray]:
    """The picture as the two ways of loading give it, and as the prepared video does."""
    whole = load(path, short_side=short_side)
    size = whole["img_shape"]
    crop = [dict(type="CenterCrop", crop_size=size[::-1])]
    cropped = load(path, short_side=short_side, transforms=crop)
    assert cropped["original_shape"] == whole["original_shape"]
    report = check_file(path, path.name, Criteria(need="picture"))
    assert (report.height, report.width) == whole["original_shape"]
    encode_video(path, target, EncodeSettings(crf=8))
    prepared = load(target, short_side=short_side)
    return [whole["imgs"][0], cropped["imgs"][0, :, 0].transpose(1, 2, 0), prepared["imgs"][0]]


@pytest.mark.parametrize("flips", [(), ("hflip",), ("vflip",), ("hflip", "vflip")], ids=str)
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_display_matrices(tmp_path, degrees, flips):
    """All pairs of a turn (counter-clockwise) and mirrorings after it, among them all eight."""
    path = tmp_path / "made.mp4"
    write_pictures(
        path,
        "libx264",
        still(marked()),
        {"crf": "4"},
        lambda stream: stream.set_display_rotation(degrees, **dict.fromkeys(flips, True)),
    )
    expected = np.rot90(marked(), degrees // 90)
    expected = expected[:, ::-1] if "hflip" in flips else expected
    expected = expected[::-1] if "vflip" in flips else expected
    for image in in_every_way(path, tmp_path / "prepared.mp4", None):
        assert image.shape == expected.shape
        # Away from the edges of the patches.
        near = np.abs(image.astype(int) - expected).max(axis=2)
        assert np.quantile(near, 0.8) < 25


def test_a_slanted_matrix_leaves_the_picture_as_it_is(tmp_path):
    path = tmp_path / "made.mp4"
    slanted = lambda stream: stream.set_display_rotation(30)  # noqa: E731
    write_pictures(path, "libx264", still(marked()), {"crf": "4"}, slanted)
    assert load(path)["imgs"][0].shape == (48, 96, 3)
    # Half a degree is a right angle, written by a careless program.
    careless = lambda stream: stream.set_display_rotation(89.5)  # noqa: E731
    write_pictures(path, "libx264", still(marked()), {"crf": "4"}, careless)
    assert load(path)["imgs"][0].shape == (96, 48, 3)


@pytest.mark.parametrize(("orientation", "corner"), [(1, "red"), (2, "green"), (4, "blue")])
def test_orientation_of_camera_pictures(tmp_path, orientation, corner):
    """EXIF in motion JPEG: FFmpeg gives it as a matrix, beside data of a kind new to PyAV."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = io.BytesIO()
    Image.fromarray(marked()).save(jpeg, "JPEG", exif=exif, quality=95)
    path = tmp_path / "made.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuvj420p"
        stream.codec_context.open()
        for k in range(25):
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = k
            out.mux(packet)
    image = load(path)["imgs"][0]
    assert image[8, 12].argmax() == ["red", "green", "blue"].index(corner)


def test_a_mirrored_real_file(media_dir):
    path = media_dir / "nasty2" / "p_hflip.mp4"
    stored = shown_at(path, 0.5)
    np.testing.assert_array_equal(load(path)["imgs"][0], stored[:, ::-1])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize(
    ("ratio", "shape"),
    [
        (Fraction(64, 45), (96, 273)),
        (Fraction(8, 9), (108, 192)),
        (Fraction(1), (96, 192)),
        (Fraction(5), (96, 192)),  # no picture has such pixels
    ],
    ids=str,
)
def test_pixels_that_are_not_square(tmp_path, suffix, ratio, shape):
    """AVI itself does not tell; the stream in it does."""
    path = tmp_path / f"made{suffix}"

    def set_up(stream: av.VideoStream) -> None:
        stream.sample_aspect_ratio = ratio

    write_pictures(path, "libx264", [f.reformat(192, 96) for f in still(marked())], None, set_up)
    assert shown_at(path, 0.5).shape == (96, 192, 3)
    assert load(path)["original_shape"] == load(path)["imgs"][0].shape[:2] == shape
    width = 2 * round(72 * shape[1] / shape[0] / 2)
    images = in_every_way(path, tmp_path / "prepared.mp4", 72)
    assert {image.shape for image in images[:2]} == {(72, width, 3)}
    # The prepared video has been rounded to even numbers before.
    assert images[2].shape[0] == 72
    assert abs(images[2].shape[1] - width) <= 2


def test_pixels_of_a_real_file(media_dir, tmp_path):
    path = media_dir / "nasty2" / "sar.mpg"
    assert load(path)["original_shape"] == (576, 1024)
    assert {image.shape for image in in_every_way(path, tmp_path / "prepared.mp4", 144)} == {
        (144, 256, 3)
    }
