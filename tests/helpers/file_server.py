"""An HTTP server on the loopback address that misbehaves as it is told."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves ``files`` (path: content); a context manager.

    Attributes:
        files (dict[str, bytes]): What is there; all else is 404.
        break_after (list[int]): Bytes after which the next answers break off, one each.
        errors (list[int]): Statuses of the next answers.
        delay (float): Seconds before each 64 KiB.
        etag (str | None): Of all files; None: none is sent, and ranges are not honoured.
        requests (list[tuple]): What was asked for: path, Range header.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.break_after: list[int] = []
        self.errors: list[int] = []
        self.delay = 0.0
        self.etag: str | None = '"1"'
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FileServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        content = self.files.get(handler.path)
        if self.errors or content is None:
            handler.send_error(self.errors.pop(0) if self.errors else 404)
            return
        start = 0
        same = self.etag is not None and handler.headers.get("If-Range") == self.etag
        if wanted and same:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                handler.send_error(416)
                return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        if self.etag is not None:
            handler.send_header("ETag", self.etag)
        handler.end_headers()
        rest = content[start:]
        if self.break_after:
            rest = rest[: self.break_after.pop(0)]
        for block in range(0, len(rest), 1 << 16):
            time.sleep(self.delay)
            handler.wfile.write(rest[block : block + (1 << 16)])
        handler.close_connection = True
