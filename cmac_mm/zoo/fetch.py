"""Downloads: once, resumed where they broke off, and checked."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import torch
from mmengine.logging import print_log
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ..utils.files import naming_full_disk, part_of, write_text
from ..utils.lock import only_one
from ..version import __version__

# PyTorch's convention: the beginning of the SHA-256, before the suffix.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[\w.]+$")
_HEX = re.compile(r"[0-9a-f]{8,64}")
_WAITS = (1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
_TIMEOUT = 30.0  # seconds without a byte
_BLOCK = 1 << 18


def download(url: str, sha256: str | None = None, folder: str | Path | None = None) -> Path:
    """Download a file unless it exists, and check it.

    What breaks off is taken up where it ended, at once and by a later call. Of several processes
    one fetches and the others wait. The SHA-256 is compared with ``sha256``, with the one that
    the file's name ends in (``r2plus1d_18-91a641e6.pth``), and with that of the first download,
    which is kept beside the file as ``NAME.sha256``, in the format of ``sha256sum``.

    Args:
        url (str): ``https://``, ``http://``, or ``hf://USER/REPO/FILE`` for a file of the main
            branch at the Hugging Face Hub (at ``HF_ENDPOINT`` where that is set).
        sha256 (str, optional): Its SHA-256, or the beginning of it. Defaults to None: not known.
        folder (str | Path, optional): Where files are kept. Defaults to None: ``checkpoints`` in
            ``torch.hub.get_dir()``. A file whose name has no hash in it is in folders named after
            host and path.

    Returns:
        Path: The file.

    Raises:
        ValueError: If the address cannot be used, or ``sha256`` is none.
        RuntimeError: If the file cannot be fetched, or is not the one that was expected.
    """
    if sha256 is not None and not _HEX.fullmatch(sha256):
        raise ValueError(f"sha256 must be 8 to 64 hexadecimal digits, got {sha256!r}")
    address = _resolve(url)
    path = _cache_path(address, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with only_one(path):
        if not path.is_file():
            part = _fetch(address, part_of(path))
            _check(part, path, url, sha256)
            part.replace(path)
            _note_of(part).unlink(missing_ok=True)
        elif not _check(path, path, url, sha256):
            print_log(f"{path} was there and has no hash yet: it is taken as it is", "current")
        pin = _pin_of(path)
        if not pin.is_file():
            write_text(pin, f"{file_sha256(path)}  {path.name}\n")
    return path


def file_sha256(path: str | Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _resolve(url: str) -> str:
    """The address that is asked over HTTP."""
    parts = urlsplit(url)
    if parts.scheme == "hf":
        names = [parts.netloc, *parts.path.strip("/").split("/")]
        if len(names) < 3 or not all(names):
            raise ValueError(f"{url}: expected hf://USER/REPO/FILE")
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        return f"{endpoint}/{names[0]}/{names[1]}/resolve/main/{'/'.join(names[2:])}"
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.path in ("", "/"):
        raise ValueError(
            f"{url}: expected the address of a file, https://..., http://... or hf://USER/REPO/FILE"
        )
    return url


def _cache_path(address: str, folder: str | Path | None) -> Path:
    parts = urlsplit(address)
    folder = Path(torch.hub.get_dir(), "checkpoints") if folder is None else Path(folder)
    names = [name for name in unquote(parts.path).split("/") if name not in ("", ".", "..")]
    if not names or parts.path.endswith("/"):
        raise ValueError(f"{address}: expected the address of a file")
    if _HASH_IN_NAME.search(names[-1]):  # the same file wherever it comes from
        return folder / names[-1]
    if parts.query:
        names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:8]}-{names[-1]}"
    return folder.joinpath(parts.netloc.rpartition("@")[2], *names)


def _pin_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _note_of(part: Path) -> Path:
    """What the server called the version of which a part is there."""
    return part.with_name(f"{part.name}.etag")


def _check(file: Path, path: Path, url: str, sha256: str | None) -> bool:
    """Compare a file with all that is known of it; False if nothing is.

    Args:
        file (Path): The file, by its final name or as a part.
        path (Path): Its final name.
        url (str): Where it comes from.
        sha256 (str | None): What the caller expects.
    """
    pin = _pin_of(path)
    pinned = pin.read_text(encoding="utf-8").split(maxsplit=1)[:1] if pin.is_file() else []
    if pin.is_file() and not (pinned and _HEX.fullmatch(pinned[0])):
        raise RuntimeError(f"{pin}: expected a SHA-256, as sha256sum writes it: remove that file")
    in_name = _HASH_IN_NAME.search(path.name)
    known = {
        "the caller's": sha256,
        "the one in its name": in_name and in_name[1],
        f"that of the first download, in {pin.name},": pinned[0] if pinned else None,
    }
    wanted = {whose: value for whose, value in known.items() if value}
    if not wanted:
        return False
    found = file_sha256(file)
    for whose, value in wanted.items():
        if found.startswith(value):
            continue
        what = f"{url} has SHA-256 {found}, {whose} is {value}"
        if file == path:
            raise RuntimeError(
                f"{path} of {what}: the file was changed. Remove it, and it is fetched again"
            )
        file.unlink()
        _note_of(file).unlink(missing_ok=True)
        raise RuntimeError(
            f"{what}: it is another file than expected, or was damaged on its way. Nothing was kept"
        )
    return True


def _fetch(address: str, part: Path) -> Path:
    """Fetch what is missing of a part, with further attempts where the connection ends."""
    for wait in (*_WAITS, None):
        try:
            _fetch_rest(address, part)
            return part
        except HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 416, 429):
                wait = None
            if error.code == 416:  # the part is not of this file
                part.unlink(missing_ok=True)
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if wait is None:
            kept = part.stat().st_size if part.is_file() else 0
            rest = f" {kept} bytes are kept, the next call goes on there." if kept else ""
            raise RuntimeError(
                f"{address} cannot be fetched: {reason}.{rest} Without a network, fetch it "
                "elsewhere and name the file"
            ) from None
        print_log(f"{address}: {reason}; trying again in {wait:g} s", "current", logging.WARNING)
        time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _fetch_rest(address: str, part: Path) -> None:
    """One attempt: ask for what follows the part, or for all if the file is another one now."""
    note = _note_of(part)
    have = part.stat().st_size if part.is_file() and note.is_file() else 0
    headers = {"User-Agent": f"cmac_mm/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": note.read_text(encoding="utf-8")}
    with urlopen(Request(address, headers=headers), timeout=_TIMEOUT) as response:
        if response.status != 206:
            have = 0
        total = _total_size(response, have)
        # Without a strong validator nobody can tell whether the rest belongs to the part.
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        with naming_full_disk(part, total):
            if validator and not validator.startswith("W/"):
                write_text(note, validator)
            else:
                note.unlink(missing_ok=True)
            got = _copy(response, part, have, total)
    if total is not None and got != total:
        raise OSError(f"the connection ended after {got} of {total} bytes")


def _total_size(response: HTTPResponse, have: int) -> int | None:
    """Bytes of the whole file; None if the server does not say."""
    content_range = response.headers.get("Content-Range", "")
    if match := re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content_range):
        if int(match[1]) != have:
            raise OSError(f"the server sent {content_range}, asked for from byte {have}")
        return int(match[2])
    length = response.headers.get("Content-Length")
    return None if length is None else have + int(length)


def _copy(response: HTTPResponse, part: Path, have: int, total: int | None) -> int:
    """Write what comes behind the part; returns the part's size."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with (
        part.open("r+b" if have else "wb") as file,
        Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as progress,
    ):
        file.seek(have)
        file.truncate()
        name = part.name.removeprefix(".").removesuffix(".part")
        task = progress.add_task(name, total=total, completed=have)
        while block := response.read1(_BLOCK):
            file.write(block)
            progress.advance(task, len(block))
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
