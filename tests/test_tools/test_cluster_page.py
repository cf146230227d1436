"""tools/analysis/cluster_page.py as a user runs it, and its page in a real browser."""

import json
import os
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.tools_in_process import run_tool

from cmac_mm.evaluation.functional import purity_table
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.visualization import choose_clusters, nearest_rows, read_clip

NUM_CLUSTERS = 6
run = partial(run_tool, "analysis/cluster_page.py")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """24 clips; one has another name, one is no video, one has no sound."""
    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=24, num_test=1, num_bad=0, seed=0, workers=2)
    videos = folder / "videos/train"
    lines = (folder / "train.txt").read_text().splitlines()
    odd = videos / "<script>alert(1)</script>&\"'é.mp4".replace("/", "_")
    (videos / Path(lines[0].split()[0]).name).rename(odd)
    lines[0] = f"videos/train/{odd.name} {lines[0].split()[1]}"
    (folder / lines[1].split()[0]).write_bytes(b"no video at all")
    silent = folder / lines[2].split()[0]
    copy_without_sound(silent)
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    return folder


def copy_without_sound(path):
    import av

    bare = path.with_suffix(".bare.mp4")
    with av.open(str(path)) as source, av.open(str(bare), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    bare.replace(path)


@pytest.fixture(scope="module")
def record(shapes):
    """A made-up record: clusters of sound follow the classes, those of pictures do not."""
    generator = np.random.default_rng(0)
    labels = np.array([int(x.split()[-1]) for x in (shapes / "train.txt").read_text().splitlines()])
    arrays = {}
    for source in ("visual", "audio"):
        found = (
            labels % NUM_CLUSTERS if source == "audio" else np.arange(len(labels)) % NUM_CLUSTERS
        )
        found = found.astype(np.int32)
        found[5] = -1  # left out
        arrays[f"{source}_labels"] = found
        arrays[f"{source}_distances"] = generator.random(len(labels), dtype=np.float32)
        arrays[f"{source}_centroids"] = generator.random((NUM_CLUSTERS, 8), dtype=np.float32)
        for row in range(3):  # the odd ones are nearest, so that they are shown
            arrays[f"{source}_distances"][row] = 0.001 * row
    path = shapes / "round_02.npz"
    np.savez(path, **arrays)
    return path


def options(shapes, ann_file="train.txt"):
    return [
        "--cfg-options",
        f"train_dataloader.dataset.ann_file={shapes / ann_file}",
        f"train_dataloader.dataset.data_prefix.video={shapes}",
    ]


@pytest.fixture(scope="module")
def page(shapes, record):
    run("cmac_mm::demo/cmac_sounding-shapes.py", record, "--clips", 3, "--clusters", 4,
        "--classes", shapes / "classes.txt", "--workers", 2, *options(shapes))  # fmt: skip
    return record.with_suffix(".html")


def test_nearest_rows_against_a_loop():
    generator = np.random.default_rng(1)
    for count in (1, 3, 50):
        labels = generator.integers(-1, 4, 40)
        distances = generator.integers(0, 5, 40) / 4  # with ties
        for cluster in range(5):
            rows = [row for row in range(40) if labels[row] == cluster]
            rows.sort(key=lambda row: (distances[row], row))
            assert nearest_rows(labels, distances, cluster, count).tolist() == rows[:count]


def test_top_and_bottom():
    assert choose_clusters(4, 4) == choose_clusters(4, 9) == [0, 1, 2, 3]
    assert choose_clusters(10, 4) == [0, 1, 8, 9]
    assert choose_clusters(10, 5) == [0, 1, 2, 8, 9]
    assert choose_clusters(10, 1) == [0]


def test_page_holds_what_the_record_says(page, shapes, record):
    text = page.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    lines = (shapes / "train.txt").read_text().splitlines()
    classes = np.array([int(line.split()[-1]) for line in lines])
    names = (shapes / "classes.txt").read_text().splitlines()
    with np.load(record) as found:
        for source in ("visual", "audio"):
            section = text.split(f'<h2 id="{source}">')[1].split("</section>")[0]
            table = re.findall(r"<tr>(.*?)</tr>", section)[0:]
            rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table if "<td" in row]
            expected = purity_table(found[f"{source}_labels"], classes, names, top=3)
            assert len(rows) == len(expected) <= NUM_CLUSTERS
            for rank, (row, (cluster, size, purity, concepts)) in enumerate(
                zip(rows, expected, strict=True), 1
            ):
                assert row[0] == str(rank) and re.sub("<.*?>", "", row[1]) == str(cluster)
                assert row[2:4] == [str(size), f"{purity:.2f}"]
                assert row[4] == ", ".join(f"{name} ({share:.2f})" for name, share in concepts)
            shown = re.findall(rf'<h3 id="{source}-(\d+)">', section)
            ranked = [str(cluster) for cluster, *_ in expected]
            assert shown == [ranked[0], ranked[1], ranked[-2], ranked[-1]]
            assert "Clips of the top 2 and the bottom 2 of" in section
            distances = [float(x) for x in re.findall(r"distance ([\d.e-]+)", section)]
            for cluster, group in zip(shown, np.split(np.array(distances), 4), strict=True):
                own = found[f"{source}_labels"] == int(cluster)
                nearest = np.sort(found[f"{source}_distances"][own])[:3]
                assert group == pytest.approx(nearest, rel=1e-3)


def test_unreadable_files_are_shown_and_counted(page, shapes, record, capsys):
    out = page.with_name("one.html")
    run("cmac_mm::demo/cmac_sounding-shapes.py", record, "--source", "visual", "--out", out,
        "--clips", 4, "--workers", 1, *options(shapes))  # fmt: skip
    said = capsys.readouterr()
    assert "24 files" not in said.out and "1 unreadable" in said.out
    assert "cannot be read: " in said.err
    text = out.read_text()
    assert "1 of 23 files cannot be read" in text and text.count('<figure class="bad">') == 1
    assert text.count("no audio stream") == 1
    assert "class 0" in text and 'id="audio"' not in text


def test_without_labels_clusters_are_ranked_by_size(shapes, record):
    lines = (shapes / "train.txt").read_text().splitlines()
    # The odd name holds no space, so a line is its path alone.
    (shapes / "bare.txt").write_text("".join(line.split()[0] + "\n" for line in lines))
    out = shapes / "bare.html"
    run("cmac_mm::demo/cmac_sounding-shapes.py", record, "--source", "audio", "--out", out,
        "--clips", 1, "--workers", 1, *options(shapes, "bare.txt"))  # fmt: skip
    text = out.read_text()
    assert "ranked by size, as the list has no labels" in text and "purity" not in text
    sizes = [int(x) for x in re.findall(r'</a></td><td class="n">(\d+)</td></tr>', text)]
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 23


def test_what_does_not_fit_is_refused(shapes, record, tmp_path):
    command = ["cmac_mm::demo/cmac_sounding-shapes.py", record, "--out", tmp_path / "page.html"]
    with pytest.raises(ValueError, match=r"no source \['joint'\].*\['visual', 'audio'\]"):
        run(*command, "--source", "joint", *options(shapes))
    (shapes / "short.txt").write_text("videos/a.mp4 0\n")
    with pytest.raises(ValueError, match="has 24 rows, the training list 1"):
        run(*command, *options(shapes, "short.txt"))
    half = tmp_path / "half.npz"
    half.write_bytes(record.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"half\.npz: incomplete or not a NumPy file"):
        run(command[0], half, *options(shapes))
    np.savez(tmp_path / "other.npz", visual_labels=np.zeros(24))
    with pytest.raises(ValueError, match=r"other\.npz: there is no visual_distances; there is"):
        run(command[0], tmp_path / "other.npz", *options(shapes))
    with pytest.raises(FileNotFoundError, match="no such record"):
        run(command[0], tmp_path / "round_00.npz", *options(shapes))
    assert not (tmp_path / "page.html").exists()


def test_the_middle_of_real_files(media_dir):
    clip = read_clip(str(media_dir / "kinetics/arm_wrestling/ehLnj7pXnYE_000027_000037.mp4"))
    assert clip.readable and not clip.problem and clip.duration == 4
    assert clip.start == pytest.approx(3, abs=0.1)
    assert len(clip.frames) + len(clip.spectrogram) + len(clip.sound) < 60_000
    silent = read_clip(str(media_dir / "nasty/torchcodec__av1_video.mkv"))
    assert silent.frames and not silent.sound and silent.problem == "no audio stream"
    heard = read_clip(str(media_dir / "esc50_wav/4-102844-A-49.wav"))
    assert heard.sound and heard.spectrogram and not heard.frames
    assert heard.problem == "no video stream"
    for name in ("moviepy__result.webm", "mp4parse__chunk_out_of_range.mp4", "openl3__empty.wav"):
        bad = read_clip(str(media_dir / "nasty" / name))
        assert not bad.readable and bad.problem


LOOK = """async () => {
  for (const part of document.querySelectorAll('details')) part.open = true;
  const images = [...document.images].map(async image => {
    image.loading = 'eager';
    await image.decode();
    return [image.className, image.naturalWidth, image.naturalHeight];
  });
  const sounds = [...document.querySelectorAll('audio')].slice(0, 6).map(async sound => {
    sound.muted = true;
    await sound.play();
    await new Promise(resolve => { sound.ontimeupdate = () => sound.currentTime && resolve(); });
    const heard = [sound.duration, sound.currentTime, sound.error && sound.error.message];
    sound.pause();
    return heard;
  });
  return {
    images: await Promise.all(images), sounds: await Promise.all(sounds),
    numSounds: document.querySelectorAll('audio').length,
    figures: document.querySelectorAll('figure').length,
    bad: document.querySelectorAll('figure.bad').length,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    dangling: [...document.querySelectorAll('a')]
      .filter(a => !document.getElementById(decodeURIComponent(a.hash.slice(1)))).length,
  };
}"""


def test_in_a_real_browser(page, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser is installed (none of {', '.join(names)})")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        tab = browser.new_page(viewport=dict(width=1300, height=1000))
        asked, said = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(page.resolve().as_uri())
        seen = tab.evaluate(LOOK)
        if os.environ.get("SCREENSHOT_DIR"):  # for eyes
            tab.screenshot(path=Path(os.environ["SCREENSHOT_DIR"], "page.png"))
            tab.locator("h2").last.scroll_into_view_if_needed()
            tab.screenshot(path=Path(os.environ["SCREENSHOT_DIR"], "audio.png"), full_page=True)
        browser.close()
    assert not said
    assert [url[:5] for url in asked if not url.startswith("data:")] == ["file:"]
    # Of 24 clips shown twice at most, one has no picture and one no sound.
    assert seen["figures"] >= 20 and seen["bad"] >= 1
    assert len(seen["images"]) > 2 * (seen["figures"] - 4)
    assert all(width > 0 and height > 0 for _, width, height in seen["images"])
    assert {kind for kind, *_ in seen["images"]} == {"frames", "sound"}
    assert seen["numSounds"] >= seen["figures"] - 4 and len(seen["sounds"]) == 6
    for duration, position, error in seen["sounds"]:
        assert 0.5 < duration < 4.5 and position > 0 and error is None, json.dumps(seen["sounds"])
    assert seen["dangling"] == 0 and not seen["wide"]
