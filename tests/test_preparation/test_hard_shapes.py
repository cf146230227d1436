"""The hard level of the built-in set, and that the plain one has stayed what it was."""

import hashlib
import json
from collections import Counter

import av
import numpy as np
import pytest

from cmac_mm.preparation.sounding_shapes import (
    HARD_KINDS,
    SHAPE_KINDS,
    draw_scene,
    make_sounding_shapes,
    read_ground_truth,
    render_frames,
    voices,
)
from cmac_mm.preparation.sounding_shapes.motions import draw_motion
from cmac_mm.preparation.sounding_shapes.scene import draw_kinds

RATE = 24_000


@pytest.fixture(scope="module")
def hard_dir(tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("hard") / "set"
    make_sounding_shapes(out_dir, 16, 16, seed=3, workers=2, num_bad=4, level="hard")
    return out_dir


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rows(path):
    return [line.split(" ") for line in path.read_text().splitlines()]


def scenes_of(kind, count):
    """Scenes in which a kind sounds: one in every 16 clips."""
    for block in range(count):
        kinds = [draw_kinds(0, "train", 16 * block + i, "hard")[-1] for i in range(16)]
        yield draw_scene(0, "train", 16 * block + kinds.index(kind), "hard")


def solo(kind, seed):
    """One object alone: its motion, sound and band."""
    rng = np.random.default_rng(seed)
    motion = draw_motion(kind, 0.16, rng)
    return motion, *voices.play(kind, motion, 0.16, 2 * RATE, rng)


# files


def test_plain_level_is_what_it_was(tmp_path):
    """Lists and ground truth to the byte; pictures and sound as far as libraries let them."""
    make_sounding_shapes(tmp_path, 16, 8, seed=0, workers=2, num_bad=4)
    digest = hashlib.sha256()
    for path, content in sorted(contents(tmp_path).items()):
        if path.suffix != ".mp4":
            digest.update(content)
    assert digest.hexdigest() == "b12a9e597fe9c288fe25d7de7901501dedc1cf01c1eba1c5e5c9d4a6b7e35426"
    scene = draw_scene(0, "train", 0)
    frames, _ = render_frames(scene)
    sound = scene.sound.samples
    found = [frames.mean(), frames.std(), sound.std(), np.abs(np.diff(sound)).mean()]
    np.testing.assert_allclose(found, [109.37666, 34.302174, 0.12769483, 0.020569688], rtol=1e-3)


def test_same_files_whatever_the_number_of_workers(hard_dir, tmp_path):
    make_sounding_shapes(tmp_path, 16, 16, seed=3, workers=1, num_bad=4, level="hard")
    assert contents(tmp_path) == contents(hard_dir)


def test_levels_are_not_mixed(hard_dir, tmp_path):
    with pytest.raises(ValueError, match=r"settings\.json.*'level': 'hard'"):
        make_sounding_shapes(hard_dir, 16, 16, seed=3, num_bad=4)
    with pytest.raises(ValueError, match="'harder'"):
        make_sounding_shapes(tmp_path / "set", 1, 0, level="harder")
    assert not (tmp_path / "set").exists()
    with pytest.raises(ValueError, match="'harder'"):
        draw_scene(0, "train", 0, "harder")


def test_lists_and_files(hard_dir):
    assert (hard_dir / "classes.txt").read_text().splitlines() == list(HARD_KINDS)
    assert HARD_KINDS[:8] == SHAPE_KINDS and len(set(HARD_KINDS)) == 16
    bad = {path for path, _ in rows(hard_dir / "bad_files.txt")}
    for split in ("train", "test"):
        good = [row for row in rows(hard_dir / f"{split}.txt") if row[0] not in bad]
        assert Counter(label for _, label in good) == {str(label): 1 for label in range(16)}
        for path, label in good:
            truth = read_ground_truth(hard_dir / path)
            assert truth["label"] == int(label) and truth["kind"] == HARD_KINDS[int(label)]
            with av.open(str(hard_dir / path)) as container:
                frames = list(container.decode(video=0))
            with av.open(str(hard_dir / path)) as container:
                samples = sum(frame.samples for frame in container.decode(audio=0))
            assert len(frames) == len(truth["boxes"])
            assert (frames[0].width, frames[0].height) == (truth["width"], truth["height"])
            assert abs(samples / RATE - len(frames) / truth["fps"]) <= 2 * 1024 / RATE
            low, high = truth["band_hz"]
            assert high == pytest.approx(2 * low, abs=0.02) and truth["sounding_times"]


@pytest.mark.parametrize("value", [None, [[1, 0.5]], [[1]], [["a", "b"]], 3])
def test_wrong_times_are_refused_by_name(hard_dir, tmp_path, value):
    truth = read_ground_truth(hard_dir / "videos/train/000000.mp4")
    (tmp_path / "x.json").write_text(json.dumps({**truth, "sounding_times": value}))
    with pytest.raises(ValueError, match=r"x\.json.*'sounding_times'"):
        read_ground_truth(tmp_path / "x.mp4")


# what a clip shows


def test_kinds_sound_and_are_silent_equally_often():
    sounding, silent, right = Counter(), Counter(), 0.0
    for index in range(1600):
        kinds = draw_kinds(0, "test", index, "hard")
        assert len(set(kinds)) == len(kinds) and len(kinds) in (3, 4, 5)
        sounding[kinds[-1]] += 1
        silent.update(kinds[:-1])
        right += 1 / len(kinds)
    assert set(sounding.values()) == {100} and len(set(silent.values())) == 1
    assert sounding.keys() == silent.keys() == set(HARD_KINDS)
    # the best guess from the kinds that are seen
    assert right / 1600 < 0.3


@pytest.mark.parametrize("kind", HARD_KINDS)
def test_boxes_are_where_the_picture_changes_with_the_object(kind):
    for scene in scenes_of(kind, 2):
        frames, boxes = render_frames(scene)
        without, _ = render_frames(scene, with_sounding=False)
        for frame, empty, box in zip(frames, without, boxes, strict=True):
            difference = np.abs(frame.astype(int) - empty).max(axis=2)
            y, x = np.nonzero(difference > 8)
            seen = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
            assert np.abs(seen - box).max() <= 3
            assert (box >= 0).all() and (box[2:] <= (scene.width, scene.height)).all()


def test_silent_objects_move_too_but_slowly():
    """And over still frames both are spread alike: only the pace tells which one sounds."""
    speed, spread = {True: [], False: []}, {True: [], False: []}
    for index in range(96):
        scene = draw_scene(0, "train", index, "hard")
        for shape in scene.shapes:
            weights = [1, 1, shape.radius, shape.radius]  # all in pixels
            change = np.abs(np.diff(shape.poses, axis=0) * weights).sum(axis=1)
            side = min(scene.width, scene.height)
            sounds = shape is scene.sounding
            speed[sounds].append(change.mean() * scene.fps / side)
            middle = np.abs(shape.poses[0, :2] / (scene.width, scene.height) - 0.5)
            spread[sounds].append([*middle, shape.poses[0, 3]])
    assert min(speed[False]) > 0
    assert 0.05 * np.mean(speed[True]) < np.mean(speed[False]) < 0.25 * np.mean(speed[True])
    np.testing.assert_allclose(
        np.mean(spread[True], axis=0), np.mean(spread[False], axis=0), rtol=0.15
    )


# what a clip sounds like


@pytest.mark.parametrize("kind", HARD_KINDS)
def test_the_object_alone_sounds_in_its_band(kind):
    for seed in range(5):
        _, sound, (low, high) = solo(kind, seed)
        power = np.abs(np.fft.rfft(sound)) ** 2
        frequency = np.fft.rfftfreq(len(sound), 1 / RATE)
        assert power[(low <= frequency) & (frequency < high)].sum() > 0.75 * power.sum()


def test_bands_do_not_tell_the_kind():
    lows = np.log([[solo(kind, seed)[2][0] for seed in range(12)] for kind in HARD_KINDS])
    within, between = lows.std(axis=1).mean(), lows.mean(axis=1).std()
    assert within > 0.6 and between < 1.5 * within / np.sqrt(12)


def test_times_tell_when_the_band_is_loud():
    louder = []
    for index in range(64):
        scene = draw_scene(0, "train", index, "hard")
        spectrum = np.fft.rfft(scene.sound.samples)
        frequency = np.fft.rfftfreq(len(scene.sound.samples), 1 / RATE)
        low, high = scene.sound.band_hz
        spectrum[(frequency < low) | (frequency > high)] = 0
        power = np.fft.irfft(spectrum, len(scene.sound.samples)) ** 2
        inside = np.zeros(len(power), bool)
        for start, stop in scene.sound.times:
            inside[round(start * RATE) : round(stop * RATE)] = True
        assert inside.mean() > 0.05
        if inside.mean() < 0.8:
            louder.append(power[inside].mean() / power[~inside].mean())
    assert len(louder) > 10 and np.median(louder) > 5


def test_off_screen_are_kinds_that_are_not_in_the_picture(monkeypatch):
    played = []
    play = voices.play

    def spy(kind, *args):
        played.append(kind)
        return play(kind, *args)

    monkeypatch.setattr(voices, "play", spy)
    for index in range(32):
        played.clear()
        scene = draw_scene(0, "train", index, "hard")
        first, *others = played
        assert first == scene.sounding.kind and len(others) in (1, 2)
        assert not set(others) & {shape.kind for shape in scene.shapes}


IMPACTS = [
    kind for kind in HARD_KINDS if draw_motion(kind, 0.16, np.random.default_rng(0)).impact_period
]


@pytest.mark.parametrize("kind", IMPACTS)
def test_impacts_are_heard_when_they_are_seen(kind):
    checked = 0
    for seed in range(4):
        motion, sound, _ = solo(kind, seed)
        loud = np.convolve(sound**2, np.ones(240) / 240, "same")
        for time in motion.impacts(0.1, 1.9):
            at = round(time * RATE)
            before, after = loud[at - 360], loud[at + 360]
            if kind == "pump":  # it hisses up to the blow
                before, after = after, before
            assert after > 4 * before, f"{seed}: {time} s"
            checked += 1
    assert checked >= 4


@pytest.mark.parametrize("kind", [kind for kind in HARD_KINDS if kind not in IMPACTS])
def test_loudness_follows_the_speed_that_is_seen(kind):
    correlations = []
    for seed in range(4):
        motion, sound, _ = solo(kind, seed)
        # over 0.1 s, so that trills and rattles are one sound
        loud = np.sqrt(np.convolve(sound**2, np.ones(2400) / 2400, "same"))[::240]
        speed = motion.speed(np.arange(len(loud)) / 100, 0.16)
        correlations.append(np.corrcoef(loud, speed)[0, 1])
    assert np.mean(correlations) > 0.4
