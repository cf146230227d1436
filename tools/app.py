"""A page in your browser, on this machine alone: drop a video in, see and hear what a model finds.

    python tools/app.py
    python tools/app.py --index work_dirs/search

It shows attention over the moving picture, with sound; a picture with the spectrogram; and the
files that go with the video, of an index made by tools/search.py. Nothing leaves the machine: it
answers the loopback address only, loads no fonts or scripts from elsewhere, sends no statistics,
and removes what was dropped in when it ends. Needs `pip install 'cmac_mm[app]'`.
Without --model it is the index's model, else cmac-demo, which is in the package and has seen drawn
shapes only: on real videos it shows how things work, not what CMAC can do.
"""

import argparse
import os
import signal
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, help="folder of an index of tools/search.py")
    parser.add_argument(
        "--model", help="name of a released model, or a config (the index's, or cmac-demo)"
    )
    parser.add_argument("--weights", type=Path, help="checkpoint that goes with a config")
    parser.add_argument("--device", help="where the model runs, cpu or cuda (what is there)")
    parser.add_argument("--batch-size", type=int, default=16, help="clips at a time (16)")
    parser.add_argument("--port", type=int, default=7860, help="of the page's address (7860)")
    parser.add_argument(
        "--max-seconds", type=float, default=120, help="longest file that is taken (120)"
    )
    parser.add_argument(
        "--max-megabytes", type=int, default=200, help="largest file that is taken (200)"
    )
    args = parser.parse_args()
    if min(args.batch_size, args.max_seconds, args.max_megabytes) <= 0:
        parser.error("--batch-size, --max-seconds and --max-megabytes must be positive")
    if not 0 < args.port < 65536:
        parser.error("--port must be from 1 to 65535")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from html import escape
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from cmac_mm.apis import AudioVisualInferencer, search_file
from cmac_mm.datasets import MediaFile
from cmac_mm.datasets.av_reader import NoStreamError
from cmac_mm.features import SearchIndex
from cmac_mm.visualization import CLIP_STYLE, hit_figures

NEIGHBOURS = 6
# The browser itself refuses whatever is not from this page.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "frame-src 'none'; form-action 'self'"
)


@dataclass
class Viewer:
    """What the page asks for.

    Attributes:
        searcher (AudioVisualInferencer): The model as evaluations and the index have it.
        drawer (AudioVisualInferencer): The same, seeing whole pictures.
        index (Path | None): Folder of an index.
        max_seconds (float): Longest file that is taken.
        scratch (Path): Folder for what is written.
    """

    searcher: AudioVisualInferencer
    drawer: AudioVisualInferencer
    index: Path | None
    max_seconds: float
    scratch: Path

    def look(self, path: str) -> Iterator[tuple[str, str | None, str | None, str]]:
        """Look at a file.

        Yields:
            tuple: A sentence, and as they are ready the picture, the overlay and the neighbours.
        """
        name = Path(path).name
        try:
            total = duration(path)
            if total > self.max_seconds:
                raise ValueError(
                    f"it is {total:.0f} s long, this page takes {self.max_seconds:g} s at most: "
                    "tools/infer.py takes any length"
                )
            yield "Listening and looking ...", None, None, ""
            stride = self.drawer.clip_seconds / 4
            (result,) = self.drawer.stream(path, stride, progress=False)
            if result.problem:
                raise ValueError(result.problem)
            picture = str(Path(mkdtemp(dir=self.scratch), "picture.png"))
            self.drawer.picture(result, picture)
            yield "Searching ...", picture, None, ""
            found = self._neighbours(path)
            yield "Writing the video ...", picture, None, found
            overlay = None
            if "visual" in result.clip_seconds:
                overlay = str(Path(picture).with_name("attention.mp4"))
                self.drawer.overlay(result, overlay)
        except ValueError as error:  # MediaError is one
            problem = str(error).replace(f"{path}: ", "").replace(path, name)
            yield f"**{name} cannot be shown**: {problem}", None, None, ""
            return
        yield describe(result, name), picture, overlay, found

    def _neighbours(self, path: str) -> str:
        if self.index is None:
            return ""
        try:
            with SearchIndex(self.index) as index:
                hits = search_file(self.searcher, index, path, count=NEIGHBOURS)
        except ValueError as error:
            return f"<p>{escape(str(error).replace(path, Path(path).name))}</p>"
        return hit_figures(hits)


def duration(path: str) -> float:
    """Length of a file, seconds: of its picture, or else of its sound."""
    try:
        media = MediaFile(path, need_audio=False)
    except NoStreamError:
        media = MediaFile(path, need_video=False)
    with closing(media):
        return media.duration


def describe(result: Any, name: str) -> str:
    """A sentence on what was found."""
    parts = [f"{name}: {result.duration:.1f} s, {len(result.starts)} clips"]
    if "visual" not in result.clip_seconds:
        parts.append("sound without a picture, so that there is no video")
    elif "audio" not in result.clip_seconds:
        parts.append("without sound: attention is predicted from the picture alone")
    if "similarity" in result.fields:
        parts.append(f"picture and sound go together by {result.whole('similarity'):+.2f}")
    return ", ".join(parts)


def load(args: argparse.Namespace, scratch: Path) -> Viewer:
    """Load the model, which must be the one that made the index."""
    model, weights = args.model, args.weights
    if args.index is not None:
        with SearchIndex(args.index) as index:
            if model is None:
                model = index.made_by["model_given"]
                weights = index.made_by["weights_given"] or None
    searcher = AudioVisualInferencer(model or "cmac-demo", weights, args.device, args.batch_size)
    drawer = AudioVisualInferencer(
        searcher.model, device=args.device, batch_size=args.batch_size, whole_picture=True
    )
    drawer.name, drawer.note = searcher.name, searcher.note
    return Viewer(searcher, drawer, args.index, args.max_seconds, scratch)


def build_page(viewer: Viewer) -> Any:
    """The page, as Gradio's blocks."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False, title="cmac_mm") as page:
        gr.Markdown("# What sounds, and where?")
        with gr.Row():
            with gr.Column():
                gr.Markdown(viewer.searcher.note or f"By {viewer.searcher.name}")
                label = f"A video or a sound, up to {viewer.max_seconds:g} s"
                file = gr.File(label=label, elem_id="file")
                said = gr.Markdown("What is dropped here stays on this machine.", elem_id="said")
            overlay = gr.Video(
                label="Attention, with sound",
                height=480,
                interactive=False,
                buttons=["download"],
                elem_id="overlay",
            )
        picture = gr.Image(
            label="Attention in picture and spectrogram",
            type="filepath",
            interactive=False,
            buttons=["fullscreen", "download"],  # not the one that sends it to a web site
            elem_id="picture",
        )
        if viewer.index is not None:
            gr.Markdown("## What goes with it")
        found = gr.HTML(elem_id="found")
        file.upload(
            viewer.look, file, [said, picture, overlay, found], api_name=False, concurrency_limit=1
        )
    return page


def serve(args: argparse.Namespace) -> None:
    """Serve the page until it is interrupted."""
    with TemporaryDirectory(prefix="cmac_mm_app_") as scratch:
        # Read when gradio is imported: what is dropped in lies here, and goes with it.
        os.environ["GRADIO_TEMP_DIR"] = scratch
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        try:
            import gradio as gr
        except ImportError as error:
            raise RuntimeError("the page needs Gradio: pip install 'cmac_mm[app]'") from error
        import uvicorn
        from fastapi import FastAPI, Request, Response
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        viewer = load(args, Path(scratch))
        if viewer.searcher.note:
            print(viewer.searcher.note, file=sys.stderr)
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

        @app.middleware("http")
        async def add_policy(request: Request, call_next: Any) -> Response:
            response = await call_next(request)
            response.headers["Content-Security-Policy"] = POLICY
            return response

        # A page elsewhere could have its own name point to this machine.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
        gr.mount_gradio_app(
            app,
            build_page(viewer),
            path="/",
            server_name="127.0.0.1",
            server_port=args.port,
            max_file_size=args.max_megabytes * 2**20,
            allowed_paths=[scratch],
            theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=CLIP_STYLE,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
        )
        # So that the folder is removed then, too; Ctrl-C does that anyway.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print(f"the page: http://127.0.0.1:{args.port}", flush=True)
        uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")


if __name__ == "__main__":
    serve(ARGS)
