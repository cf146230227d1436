"""The local page: what it shows of a file, and all of it in a browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import av
import pytest
import soundfile
from helpers.paths import TOOLS
from helpers.tools_in_process import load_tool, run_tool

from cmac_mm.apis.inferencer import DEMO_NOTE

GRID = "grid_mini/bbaf2n.mpg"


@pytest.fixture(scope="module")
def folder(media_dir, tmp_path_factory):
    """A video, its sound, a file that is none, and an index of the first two."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "media").mkdir()
    shutil.copy(media_dir / GRID, folder / "media/a.mpg")
    soundfile.write(folder / "media/b.wav", [0.1, -0.1] * 12_000, 24_000)
    (folder / "bad <b>.mp4").write_bytes(b"no video")
    run_tool("search.py", "index", folder / "media", "--index", folder / "index")
    return folder


def viewer(folder, *more):
    tool = load_tool("app.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["app.py", "--index", str(folder / "index"), *more])
        args = tool.parse_args()
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return tool.load(args, scratch)


def test_what_is_shown_of_a_file(folder):
    shown = viewer(folder)
    *steps, (said, picture, overlay, found) = shown.look(str(folder / "media/a.mpg"))
    assert [step[0] for step in steps] == [
        "Listening and looking ...",
        "Searching ...",
        "Writing the video ...",
    ]
    assert re.match(r"a\.mpg: 3\.0 s, 9 clips, picture and sound go together by [+-]0\.\d\d", said)
    assert Path(picture).read_bytes().startswith(b"\x89PNG")
    with av.open(overlay) as video:
        assert {stream.codec.name for stream in video.streams} == {"h264", "aac"}
    assert found.count("<figure") == 2 and "b.wav" in found  # the sounds that go with the picture
    *_, (said, picture, overlay, found) = shown.look(str(folder / "media/b.wav"))
    assert "sound without a picture" in said and overlay is None and Path(picture).is_file()
    assert found.count("<figure") == 1


def test_what_cannot_be_shown_gets_a_sentence(folder):
    def said(shown, name):
        (step,) = shown.look(str(folder / name))
        assert step[1:] == (None, None, "")
        return step[0]

    assert said(viewer(folder), "bad <b>.mp4").startswith(
        "**bad <b>.mp4 cannot be shown**: cannot be opened"
    )
    short = viewer(folder, "--max-seconds", "1.5")
    assert said(short, "media/a.mpg") == (
        "**a.mpg cannot be shown**: it is 3 s long, this page takes 1.5 s at most: "
        "tools/infer.py takes any length"
    )


def test_an_index_of_another_model_is_said(folder):
    shown = viewer(folder)
    shown.searcher.pipeline = [{**step, "other": 1} for step in shown.searcher.pipeline]
    *_, (_, picture, _, found) = shown.look(str(folder / "media/b.wav"))
    assert picture and "was made by another model" in found


# Starts the tool, and writes down whom it talks to.
START = """
import runpy, sys
record = open(sys.argv[1], "a", buffering=1)
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        address = args[1] if event != "socket.getaddrinfo" else args[:2]
        record.write(f"{event} {address}\\n")
sys.addaudithook(note)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def page(folder):
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'cmac_mm[app]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    calls = folder / "calls.txt"
    command = [sys.executable, "-c", START, str(calls), str(TOOLS / "app.py")]
    command += ["--port", str(port), "--index", str(folder / "index"), "--max-megabytes", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert any("the page: " in line for line in process.stdout)  # it is there now
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    said = calls.read_text().splitlines()
    assert any(line.startswith("socket.bind ('127.0.0.1'") for line in said)
    for line in said:
        assert re.search(r"127\.0\.0\.1|localhost|::1|^\S+ (b?'|/)", line), line


@pytest.mark.slow
def test_in_a_real_browser(page, folder, media_dir, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser is installed (none of {', '.join(names)})")
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(2**20 + 1))
    strange = urllib.request.Request(page, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(strange, timeout=20)
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        tab = browser.new_page(viewport=dict(width=1300, height=1500))
        asked, errors = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(page)
        tab.get_by_text(DEMO_NOTE).wait_for()

        def drop(path, wanted):
            if tab.locator("#file button[aria-label=Clear]").count():
                tab.locator("#file button[aria-label=Clear]").click()
            tab.wait_for_selector("#file input[type=file]", state="attached")
            tab.set_input_files("#file input[type=file]", path)
            tab.get_by_text(wanted).first.wait_for(timeout=120_000)

        drop(folder / "media/a.mpg", "picture and sound go together by")
        tab.wait_for_function("document.querySelector('#overlay video')?.readyState >= 2")
        seen = tab.evaluate(
            """async () => {
              const video = document.querySelector('#overlay video');
              video.muted = true;
              await video.play();
              await new Promise(done => {
                video.ontimeupdate = () => video.currentTime > 0.2 && done();
              });
              const image = document.querySelector('#picture img');
              await image.decode();
              return [video.duration, video.videoWidth, video.webkitAudioDecodedByteCount > 0,
                      image.naturalWidth, document.querySelectorAll('#found audio').length];
            }"""
        )
        assert seen[0] == pytest.approx(3, abs=0.1) and seen[1] == 360 and seen[2]
        assert seen[3] > 600 and seen[4] == 2
        if os.environ.get("SCREENSHOT_DIR"):  # for eyes
            tab.screenshot(path=Path(os.environ["SCREENSHOT_DIR"], "app.png"), full_page=True)
        drop(folder / "bad <b>.mp4", "cannot be opened")
        assert tab.locator("#overlay video").count() == 0
        drop(large, "maximum allowed size")
        browser.close()
    assert not errors
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {page.split("/")[2]}
    assert all(url.startswith(("http:", "data:", "blob:")) for url in asked)
