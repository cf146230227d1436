"""Make the built-in set of sounding shapes.

Each clip shows one object that moves and sounds, and one or two of other kinds that stand still or
drift slowly and are silent. The label is the kind of the sounding one. Eight kinds (ball, heart,
gear, crate, bell, star, hammer, maraca) have each their own look, motion and frequency band, and
the sound follows the motion: impacts are heard when they are seen, and where there are none the
loudness follows the speed. As every kind sounds and is silent equally often, neither looks nor a
still frame give the label away.

`--level hard` makes a set on which methods can be told apart: sixteen kinds (also fish, clock,
frog, drum, moon, arrow, pump, kite), and two to four silent objects, which move too, along the
path that they would take if they sounded, but slowly: only its pace tells the sounding one. Shapes
are squeezed and streaked, hues overlap those of the neighbours. A kind is heard by its rhythm and
its timbre; its band is drawn for each clip. One or two kinds that are not in the picture are heard
as well, more softly, and there is more noise.

What is made in OUT_DIR:
  train.txt, test.txt       lines `videos/train/000123.mp4 3`: path and label
  classes.txt               the kinds, in the order of the labels
  videos/*/000123.mp4       2 to 2.8 s, H.264 and AAC, short side 96 or 112 px, 15 to 30 frames/s
  videos/*/000123.json      ground truth: box of the sounding object in each frame, its frequency
                            band, the silent kinds, the times of impacts; at the hard level also
                            the times in which it sounds
  bad_files.txt             the unusable files that train.txt lists among the good ones, to show
                            how they are sorted out: without sound track, silent, truncated, empty
  settings.json             the settings, so that two sets are never mixed in one folder

The same seed gives the same files, whatever the number of processes. An interrupted run goes on
where it stopped when it is called again. 4096 + 512 clips take a little more than a minute on two
cores and 140 MB.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="folder of the set")
    parser.add_argument(
        "--level", choices=("plain", "hard"), default="plain", help="see above (plain)"
    )
    parser.add_argument("--num-train", type=int, default=4096, help="training clips (4096)")
    parser.add_argument("--num-test", type=int, default=512, help="test clips (512)")
    parser.add_argument(
        "--num-bad", type=int, default=8, help="unusable files among the training clips (8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the set (0)")
    parser.add_argument("--workers", type=int, help="processes (one per CPU core)")
    parser.add_argument(
        "--sheet", type=Path, help="also draw a clip of each kind and its sound into this picture"
    )
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import av
import numpy as np
from matplotlib.figure import Figure
from matplotlib.mlab import specgram
from matplotlib.patches import Rectangle

from cmac_mm.preparation.sounding_shapes import HARD_KINDS, make_sounding_shapes, read_ground_truth
from cmac_mm.utils.files import replacing


def save_sheet(out_dir: Path, path: Path) -> None:
    """Draw the first training clip of each kind: six frames with the true box, and the sound.

    Args:
        out_dir (Path): Folder of the set.
        path (Path): Picture to write.
    """
    first: dict[int, str] = {}
    bad = {line.split()[0] for line in (out_dir / "bad_files.txt").read_text().splitlines()}
    for line in (out_dir / "train.txt").read_text().splitlines():
        video, label = line.split()
        if video not in bad:
            first.setdefault(int(label), video)
    figure = Figure(figsize=(16, 2 * len(first)), layout="constrained")
    axes = figure.subplots(len(first), 7, squeeze=False, width_ratios=[1] * 6 + [2])
    for row, (label, video) in zip(axes, sorted(first.items()), strict=True):
        truth = read_ground_truth(out_dir / video)
        with av.open(out_dir / video) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        with av.open(out_dir / video) as container:
            sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
            rate = container.streams.audio[0].rate
        for axis, i in zip(row, np.arange(6) * round(truth["fps"]) // 8, strict=False):
            left, top, right, bottom = truth["boxes"][i]
            axis.imshow(frames[i], extent=(0, truth["width"], truth["height"], 0))
            axis.add_patch(
                Rectangle((left, top), right - left, bottom - top, fill=False, color="yellow")
            )
            axis.set_title(f"{i / truth['fps']:.2f} s", fontsize=8)
            axis.set_axis_off()
        power, frequency, time = specgram(sound, NFFT=512, Fs=rate, noverlap=384)
        row[-1].pcolormesh(time, frequency, 10 * np.log10(np.maximum(power, 1e-12)))
        for edge in truth["band_hz"]:
            row[-1].axhline(edge, color="white", linewidth=0.7, linestyle=":")
        row[-1].set_yscale("symlog", linthresh=300)
        row[-1].set_ylim(100, 12_000)
        row[-1].set_title(f"{HARD_KINDS[label]}, {' and '.join(truth['silent_kinds'])} silent")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=80, format=path.suffix.removeprefix(".") or "png")


def main(args: argparse.Namespace) -> None:
    """Make the set and its sheet."""
    options = vars(args)
    sheet = options.pop("sheet")
    make_sounding_shapes(**options)
    if sheet:
        save_sheet(args.out_dir, sheet)


if __name__ == "__main__":
    main(ARGS)
