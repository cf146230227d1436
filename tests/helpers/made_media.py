"""Small files under the names and lists of public data sets, for where the real ones are absent."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from helpers.made_annotations import make_annotations
from helpers.made_nasty import make_nasty, make_nasty2
from helpers.media_tools import RATE, write_video
from helpers.paths import MEDIA

UCF101 = {
    1: "ApplyEyeMakeup",
    3: "Archery",
    5: "BalanceBeam",
    6: "BandMarching",
    7: "BaseballPitch",
}
OTHERS = {2: "ApplyLipstick", 4: "BabyCrawling"}  # without videos
ESC10 = {
    0: "dog",
    1: "rooster",
    10: "rain",
    11: "sea_waves",
    12: "crackling_fire",
    20: "crying_baby",
    21: "sneezing",
    38: "clock_tick",
    40: "helicopter",
    41: "chainsaw",
}
NTSC = Fraction(30000, 1001)
# Seconds, frames a second and size.
OTHER_CLIPS = {
    "kinetics/arm_wrestling/ehLnj7pXnYE_000027_000037.mp4": (10, NTSC, (168, 96)),
    "kinetics/bungee_jumping/dAeUFSdYG1I_000010_000020.mp4": (10, NTSC, (168, 96)),
    "kinetics/bungee_jumping/zkXOcxGnUhs_000025_000035.mp4": (10, NTSC, (240, 180)),
    "torchvision_videos/R6llTwEh07w.mp4": (10, 30, (240, 180)),
    "torchvision_videos/SOX5yA1l24A.mp4": (11.078, NTSC, (340, 256)),
    "torchvision_videos/WUzgd7C1pWA.mp4": (10.91, NTSC, (340, 256)),
    "torchvision_videos/v_SoccerJuggling_g23_c01.avi": (8, NTSC, (168, 96)),
    "torchvision_videos/RATRACE_wave_f_nm_np1_fr_goo_37.avi": (2.4, 30, (168, 96)),
    **{f"grid_mini/film{k}.mpg": (3, 25, (180, 144)) for k in range(9)},
    "grid_mini/bbaf2n.mpg": (3, 25, (180, 144)),
}


def media_folder(scratch: Path) -> Path:
    """The real media files where they are, else small ones made in ``scratch / "media"``."""
    if MEDIA.is_dir():
        return MEDIA.resolve()
    make_media(scratch / "media")
    return scratch / "media"


def make_media(folder: Path) -> None:
    """Write the layout of the real media files as far as tests use it.

    Every clip has a picture and a sound of its own.
    """
    _make_ucf101(folder / "ucf101_mini")
    _make_esc(folder)
    for seed, (name, (seconds, fps, size)) in enumerate(OTHER_CLIPS.items()):
        _make_clip(folder / name, 1000 + seed, seconds, fps, size)
    make_annotations(folder / "annotations")
    with TemporaryDirectory() as scratch:
        make_nasty(folder / "nasty", Path(scratch))
        make_nasty2(folder / "nasty2", Path(scratch))


def _make_ucf101(folder: Path) -> None:
    lists = folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    index = [f"{number} {name}\n" for number, name in sorted({**UCF101, **OTHERS}.items())]
    (lists / "classInd.txt").write_text("".join(index))
    train, test = [], []
    for number, name in UCF101.items():
        for group in range(1, 13):
            file = f"{name}/v_{name}_g{group:02d}_c02.avi"
            _make_clip(folder / "UCF-101" / file, 20 * number + group)
            if group <= 4:
                test.append(f"{file}\n")
            else:
                train.append(f"{file} {number}\n")
    (lists / "trainlist01.txt").write_text("".join(train))
    (lists / "testlist01.txt").write_text("".join(test))


def _make_esc(folder: Path) -> None:
    for name in ("esc10_mini/audio", "esc10_mini/meta", "esc50_wav"):
        (folder / name).mkdir(parents=True)
    rows = ["filename,fold,target,category,esc10,src_file,take\n"]
    for fold in range(1, 6):
        for target, category in ESC10.items():
            source = 99032 + 1000 * fold + target
            name = f"{fold}-{source}-A-{target}.ogg"
            _write_sound(folder / "esc10_mini/audio" / name, source)
            rows.append(f"{name},{fold},{target},{category},True,{source},A\n")
    (folder / "esc10_mini/meta/esc50.csv").write_text("".join(rows))
    for name in ("102844-A-49", "161099-B-47", "180337-A-28", "196671-A-8"):
        _write_sound(folder / f"esc50_wav/4-{name}.wav", int(name[:6]), 5.0)


def _sound(seed: int, seconds: float, rate: int) -> np.ndarray:
    """A tone in noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * rng.uniform(200, 4000) * time)
    return (0.3 * tone + rng.uniform(-0.2, 0.2, len(time))).astype(np.float32)


def _write_sound(path: Path, seed: int, seconds: float = 3.0) -> None:
    soundfile.write(path, _sound(seed, seconds, 44100), 44100)


def _make_clip(
    path: Path,
    seed: int,
    seconds: float = 2.0,
    fps: Fraction | int = 15,
    size: tuple[int, int] = (160, 120),
) -> None:
    """Four by three grainy fields, whose colours change slowly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    colours, speeds = rng.uniform(40, 215, (3, 4, 3)), rng.uniform(-3, 3, (3, 4, 3))

    grain = rng.integers(-8, 9, (size[1] // 3 * 3, size[0] // 4 * 4, 1))

    def picture(number: int) -> np.ndarray:
        colour = colours + 20 * np.sin(speeds * number / float(fps))
        fields = colour.repeat(size[1] // 3, axis=0).repeat(size[0] // 4, axis=1)
        return (fields + grain).astype(np.uint8)

    sound = _sound(seed, seconds, RATE)[None]
    write_video(path, fps, seconds, size=size, sound=sound, picture=picture)
