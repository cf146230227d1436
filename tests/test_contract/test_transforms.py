"""Transforms change what their docstrings name and nothing else, and tell what they lack."""

import copy
import random
import re

import cv2
import numpy as np
import pytest
import soundfile
import torch
from helpers.registered import registered
from mmaction.registry import TRANSFORMS as REGISTRY
from mmengine.registry import init_default_scope

from cmac_mm.preparation.sounding_shapes import make_sounding_shapes

TRANSFORMS = registered("TRANSFORMS")
CLIPS = dict(type="SampleClips", duration=0.5, num_clips=2)
# Every transform of ours stands in one of these, behind what it needs.
PIPELINES = {
    "video": [
        dict(type="OpenAudioVisual"),
        CLIPS,
        dict(type="DecodeAudioVisual", fps=8, short_side=48),
        dict(type="PerClip", transforms=[dict(type="RandomCrop", size=32), dict(type="Flip")]),
        dict(type="VolumeJitter"),
        dict(type="LogMelSpectrogram", num_mels=40),
        dict(type="SpecAugment"),
        dict(type="PackAudioVisual"),
    ],
    "sound": [
        dict(type="LoadAudio"),
        CLIPS,
        dict(type="CropAudio"),
        dict(type="StillClip", clip_len=3),
        dict(type="AVIDSpectrogram"),
        dict(type="PackAudioVisual"),
    ],
    "banks": [
        dict(type="LoadAudio"),
        CLIPS,
        dict(type="CropAudio"),
        dict(type="GDTSpectrogram"),
        dict(type="PackAudioVisual"),
    ],
}
STEPS = {}  # type -> the pipeline and its place there
for kind, steps in PIPELINES.items():
    for place, step in enumerate(steps):
        STEPS.setdefault(step["type"], (kind, place))


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    make_sounding_shapes(folder, num_train=1, num_test=0, num_bad=0, workers=1)
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000)
    soundfile.write(folder / "sound.wav", sound, 24_000)
    cv2.imwrite(str(folder / "still.png"), np.full((32, 48, 3), 200, np.uint8))
    return {
        "video": folder / "videos/train/000000.mp4",
        "sound": folder / "sound.wav",
        "still": folder / "still.png",
        "banks": folder / "sound.wav",
    }


def run(files, name, seed=0, **changes):
    """What comes to a transform, with ``changes`` (None: removal), and what it makes of it."""
    kind, place = STEPS[name]
    # "mine" is of nobody's business
    results = dict(filename=str(files[kind]), sample_idx=7, label=3, mine=["a", {"b": 1}])
    results["picture"] = str(files["still"])
    np.random.seed(seed)
    random.seed(seed)
    for step in PIPELINES[kind][:place]:
        results = REGISTRY.build(step)(results)
    for key, value in changes.items():
        results = {k: v for k, v in results.items() if k != key}
        if value is not None:
            results[key] = value
    before = {
        key: value if key == "media" else copy.deepcopy(value) for key, value in results.items()
    }
    try:
        return before, REGISTRY.build(PIPELINES[kind][place])(results)
    finally:
        if "media" in before and name != "OpenAudioVisual":
            before["media"].close()


def same(one, other):
    if isinstance(one, (np.ndarray, torch.Tensor)):
        return type(one) is type(other) and np.array_equal(np.asarray(one), np.asarray(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "to_dict"):
        return same(one.to_dict(), other.to_dict())
    return one == other or type(one).__name__ == "MediaFile"


def named(text):
    return set(re.findall(r"``(\w+)``", text))


def test_every_transform_has_its_place():
    missing = set(TRANSFORMS) - set(STEPS)
    assert not missing, f"put {missing} into PIPELINES of {__file__}, behind what they need"


@pytest.mark.parametrize("name", [name for name in STEPS if name != "PackAudioVisual"])
def test_keys(files, name):
    before, after = run(files, name)
    docstring = " ".join(TRANSFORMS[name].__doc__.split("Args:")[0].split())
    changed = {key for key in before | after if key not in before or key not in after}
    changed |= {key for key in before.keys() & after.keys() if not same(before[key], after[key])}
    for key in changed:
        assert key in named(docstring), f"{name} changes {key!r}, its docstring does not name it"
    assert after["mine"] == ["a", {"b": 1}] and after["label"] == 3 and after["sample_idx"] == 7
    # what is said to be added is there
    for part in re.findall(r"; adds(.*?)\. ", docstring + " "):
        for key in named(re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", part)):
            assert key in after, f"{name} says that it adds {key!r}"


@pytest.mark.parametrize("name", STEPS)
def test_draws_come_from_the_seed(files, name):
    (_, first), (_, second) = run(files, name), run(files, name)
    assert same(first, second)
    if name in ("SampleClips", "PerClip", "VolumeJitter", "SpecAugment"):
        assert not same(run(files, name, seed=1)[1], first)


@pytest.mark.parametrize("name", STEPS)
def test_text_form_has_the_arguments(name):
    kind, place = STEPS[name]
    text = repr(REGISTRY.build(PIPELINES[kind][place]))
    assert re.fullmatch(rf"{name}\(.*\)", text, re.DOTALL)


BAD = {  # what comes before, and what is said of it; None removes a key
    "OpenAudioVisual": (dict(filename="nowhere.mp4"), "nowhere.mp4"),
    "LoadAudio": (dict(filename="nowhere.wav"), "nowhere.wav"),
    "SampleClips": (dict(total_duration=None), "total_duration"),
    "DecodeAudioVisual": (dict(media=None), "media"),
    "PerClip": (dict(clip_len=3), "8 pictures are not 2 clips of 3"),
    "VolumeJitter": (dict(waveform=None), "waveform"),
    "LogMelSpectrogram": (dict(sample_rate=8000), "24000 Hz.*8000 Hz"),
    "SpecAugment": (dict(audios=None), "audios"),
    "CropAudio": (dict(sound=None), "sound"),
    "StillClip": (dict(picture="nowhere.jpg"), "nowhere.jpg"),
    "AVIDSpectrogram": (dict(sample_rate=8000), "24000 Hz.*8000 Hz"),
    "GDTSpectrogram": (dict(sample_rate=8000), "24000 Hz.*8000 Hz"),
    "PackAudioVisual": (dict(imgs=None, audios=None), "neither 'imgs' nor 'audios'"),
}


@pytest.mark.parametrize("name", STEPS)
def test_bad_input_is_named(files, name):
    assert name in BAD, f"add to BAD of {__file__} what {name} cannot work on"
    changes, message = BAD[name]
    with pytest.raises((ValueError, RuntimeError, KeyError), match=message):
        run(files, name, **changes)
