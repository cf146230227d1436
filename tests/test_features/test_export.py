"""What temporal localisers read, against slow loops and closed forms."""

import h5py
import numpy as np
import pytest
from mmaction.registry import TRANSFORMS

from cmac_mm.features import (
    clip_starts,
    features_by_frame,
    rescale_features,
    thumos_part,
    write_csv,
    write_thumos_h5,
)
from cmac_mm.utils import write_npy


@pytest.mark.parametrize(
    ("total", "duration", "stride", "starts"),
    [
        (10, 1, 1, range(10)),
        (10.9, 1, 1, range(10)),
        (3, 1, 0.5, [0, 0.5, 1, 1.5, 2]),
        (0.3 * 7, 0.3, 0.3, [0.3 * k for k in range(7)]),  # in floats 2.0999999999999996
        (1, 1, 4, [0]),
        (0.4, 1, 0.2, [0]),  # shorter than a clip
    ],
)
def test_clips_begin_where_one_fits(total, duration, stride, starts):
    assert clip_starts(total, duration, stride) == pytest.approx(list(starts))


@pytest.mark.parametrize("num_clips", [1, 2, 7, 100, 731])
@pytest.mark.parametrize("num_rows", [1, 10, 100])
def test_rescaling_against_a_loop(num_clips, num_rows):
    generator = np.random.default_rng(num_clips)
    features = generator.standard_normal((num_clips, 5)).astype(np.float32)
    times = 0.25 + 0.5 * np.arange(num_clips)
    duration = times[-1] + 0.4
    points = max(3, -(-2 * num_clips // num_rows))
    rows = []
    for row in range(num_rows):
        values = []
        for point in range(points):
            moment = (row + (point + 0.5) / points) * duration / num_rows
            after = next((k for k in range(num_clips) if times[k] > moment), None)
            if after is None:
                values.append(features[-1])
            elif after == 0:
                values.append(features[0])
            else:
                part = (moment - times[after - 1]) / (times[after] - times[after - 1])
                values.append((1 - part) * features[after - 1] + part * features[after])
        rows.append(np.mean(values, axis=0))
    found = rescale_features(features, times, duration, num_rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rows, atol=1e-5)


def test_a_feature_that_tells_the_time_still_does():
    times = np.arange(0.5, 60, 0.5)
    found = rescale_features(times[:, None], times, 60.0)[:, 0]
    middles = (np.arange(100) + 0.5) * 0.6
    np.testing.assert_allclose(found[1:-1], middles[1:-1], atol=1e-4)


def test_csv_is_what_mmaction2_loads(tmp_path):
    rows = np.random.default_rng(0).standard_normal((100, 12)).astype(np.float32)
    rows[3] *= 1e-6
    write_csv(tmp_path / "v_a.csv", rows)
    assert (tmp_path / "v_a.csv").read_text().splitlines()[0] == ",".join(
        f"f{k}" for k in range(12)
    )
    loader = TRANSFORMS.build(dict(type="LoadLocalizationFeature"))
    loaded = loader(dict(feature_path=str(tmp_path / "v_a.csv")))["raw_feature"]
    assert loaded.shape == (12, 100)
    np.testing.assert_allclose(loaded.T, rows, rtol=1e-5)


def test_every_frame_has_its_nearest_clip():
    generator = np.random.default_rng(3)
    features = np.arange(9)[:, None]
    times = 0.3 + 0.21 * np.arange(9)
    for fps, num_frames in ((25.0, 60), (29.97, 61), (10.0, 3)):
        found = features_by_frame(features, times, fps, num_frames)[:, 0]
        nearest = [np.abs(times - k / fps).argmin() for k in range(num_frames)]
        assert found.tolist() == nearest
    assert (features_by_frame(generator.random((1, 4)), times[:1], 25, 7).shape) == (7, 4)


def test_h5_is_what_gtad_reads(tmp_path):
    """As gtad_lib/dataset.py of frostinassiky/gtad does for THUMOS14, skip_videoframes 5."""
    generator = np.random.default_rng(0)
    videos, features = {}, {}
    for name, frames in (("video_validation_0000051", 300), ("video_test_0000004", 123)):
        times = 0.27 + np.arange((frames - 8) // 5) * 5 / 30
        features[name] = generator.standard_normal((len(times), 6)).astype(np.float32)
        write_npy(tmp_path / f"{name}.npy", features[name])
        info = dict(times=times.tolist(), fps=30.0, duration_frame=frames)
        videos[name] = (tmp_path / f"{name}.npy", info)
    written = write_thumos_h5(tmp_path, videos)
    assert {path.name for path in written} == {
        f"{kind}_{part}.h5" for kind in ("rgb", "flow") for part in ("val", "test")
    }
    assert not list(tmp_path.glob(".*"))
    for part, name in zip(("val", "test"), videos, strict=True):
        with (
            h5py.File(tmp_path / f"flow_{part}.h5") as flow,
            h5py.File(tmp_path / f"rgb_{part}.h5") as rgb,
        ):
            assert list(rgb) == list(flow) == [name]
            read = [flow[name][::5, ...], rgb[name][::5, ...]]
            count = min(h5.shape[0] for h5 in read)
            together = np.concatenate([h5[:count, :] for h5 in read], axis=1)
        # Snippet i is said to be frame 5 i.
        assert together.shape == (-(-videos[name][1]["duration_frame"] // 5), 6)
        nearest = np.clip(np.round((5 * np.arange(count) / 30 - 0.27) * 6), 0, None).astype(int)
        nearest = np.minimum(nearest, len(features[name]) - 1)
        assert np.array_equal(together, features[name][nearest])


def test_parts_of_thumos():
    assert thumos_part("video_validation_0000051") == "val"
    assert thumos_part("video_test_0000004") == "test"
    with pytest.raises(ValueError, match="'val' or 'test' in the name"):
        thumos_part("v_abc")
