"""Downloads from a real server on this machine: whole, broken off, changed, slow, at once."""

import hashlib
import random
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from helpers.file_server import FileServer

from cmac_mm.zoo import download, fetch, find_entry, list_models
from cmac_mm.zoo.entries import read_entries

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with FileServer({"/models/net.pth": CONTENT, f"/net-{SHA256[:8]}.pth": CONTENT}) as server:
        yield server


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    """No pauses between attempts, and a cache of the test's own."""
    monkeypatch.setattr(fetch, "_WAITS", (0.0, 0.0))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def test_a_file_is_fetched_once_and_kept_where_torch_hub_keeps_them(server, tmp_path):
    url = f"{server.address}/models/net.pth"
    path = download(url)
    assert path.read_bytes() == CONTENT
    host = server.address.removeprefix("http://")
    assert path == tmp_path / "torch/hub/checkpoints" / host / "models/net.pth"
    assert download(url) == path
    assert len(server.requests) == 1
    check = subprocess.run(["sha256sum", "-c", f"{path.name}.sha256"], cwd=path.parent)
    assert check.returncode == 0
    assert not list(path.parent.glob(".*.part*"))


def test_a_name_with_its_hash_is_where_torchvision_looks(server, tmp_path):
    path = download(f"{server.address}/net-{SHA256[:8]}.pth")
    assert path == tmp_path / f"torch/hub/checkpoints/net-{SHA256[:8]}.pth"


def test_files_of_one_name_do_not_take_each_others_place(server):
    server.files |= {"/other/net.pth": b"other", "/models/net.pth?v=2": b"second"}
    paths = {download(server.address + name) for name in server.files}
    assert {path.read_bytes() for path in paths} == {CONTENT, b"other", b"second"}


def test_what_breaks_off_goes_on_at_once(server):
    server.break_after = [100_000, 50_000]
    path = download(f"{server.address}/models/net.pth")
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_what_breaks_off_too_often_goes_on_at_the_next_call(server):
    server.break_after = [10_000] * 3
    url = f"{server.address}/models/net.pth"
    with pytest.raises(RuntimeError, match=r"after 30000 of 300000 bytes\. 30000 bytes are kept"):
        download(url)
    assert download(url).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=30000-"


def test_a_part_of_an_older_file_is_not_put_before_a_new_one(server):
    server.break_after = [10_000] * 3
    url = f"{server.address}/models/net.pth"
    with pytest.raises(RuntimeError):
        download(url)
    new = CONTENT[::-1]
    server.files["/models/net.pth"], server.etag = new, '"2"'
    assert download(url).read_bytes() == new


def test_without_a_version_to_ask_for_it_starts_again(server):
    server.etag = None
    server.break_after = [10_000]
    assert download(f"{server.address}/models/net.pth").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, None]


def test_a_part_that_is_longer_than_the_file_is_given_up(server):
    server.break_after = [10_000] * 3
    url = f"{server.address}/models/net.pth"
    with pytest.raises(RuntimeError):
        download(url)
    server.files["/models/net.pth"] = b"short"
    assert download(url).read_bytes() == b"short"


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_not_there_is_said_at_once(server, status):
    server.errors = [status]
    with pytest.raises(RuntimeError, match=rf"/none\.pth cannot be fetched: HTTP {status}"):
        download(f"{server.address}/none.pth")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server):
    server.errors = [503, 429]
    assert download(f"{server.address}/models/net.pth").read_bytes() == CONTENT


def test_nobody_there(server):
    with pytest.raises(RuntimeError, match=r"cannot be fetched: .*refused.*name the file"):
        download("http://127.0.0.1:9/net.pth")


def test_a_silent_server_is_given_up_and_a_slow_one_is_not(server, monkeypatch):
    monkeypatch.setattr(fetch, "_TIMEOUT", 0.3)
    url = f"{server.address}/models/net.pth"
    server.delay = 0.1
    assert download(url).read_bytes() == CONTENT
    server.files["/models/net.pth?again"], server.delay = CONTENT, 1.0
    with pytest.raises(RuntimeError, match="timed out"):
        download(f"{url}?again")


def test_a_wrong_hash_leaves_nothing(server, tmp_path):
    url = f"{server.address}/net-{SHA256[:8]}.pth"
    server.files[f"/net-{SHA256[:8]}.pth"] = b"something else"
    with pytest.raises(RuntimeError, match=f"the one in its name is {SHA256[:8]}: it is another"):
        download(url)
    assert not [path for path in tmp_path.rglob("*net*") if path.suffix != ".lock"]
    with pytest.raises(RuntimeError, match=r"the caller's is 0123456789"):
        download(f"{server.address}/models/net.pth", sha256="0123456789")
    with pytest.raises(ValueError, match="hexadecimal"):
        download(url, sha256="xyz")


def test_the_first_download_is_pinned(server):
    url = f"{server.address}/models/net.pth"
    path = download(url)
    path.unlink()
    server.files["/models/net.pth"] = b"changed since"
    with pytest.raises(RuntimeError, match=r"that of the first download, in net\.pth\.sha256, is"):
        download(url)
    assert not path.exists()


def test_a_cached_file_that_was_changed_is_refused(server):
    url = f"{server.address}/models/net.pth"
    path = download(url)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(RuntimeError, match=r"net\.pth of .*the file was changed\. Remove it"):
        download(url)


def test_two_processes_fetch_it_once(server):
    server.delay = 0.2
    url = f"{server.address}/models/net.pth"
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        first, second = pool.map(download, [url, url])
    assert first == second and first.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_the_hub(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    server.files["/user/repo/resolve/main/part/net.pth"] = b"of the hub"
    assert download("hf://user/repo/part/net.pth").read_bytes() == b"of the hub"


@pytest.mark.parametrize(
    "url",
    ["net.pth", "ftp://host/net.pth", "https://host", "https://host/folder/", "hf://user/repo"],
)
def test_an_address_that_is_none(url):
    with pytest.raises(ValueError, match="expected"):
        download(url)


def test_the_entries_are_whole():
    for name, entry in read_entries().items():
        assert (entry.format is None) == (entry.url is None) == (entry.config is not None), name
        assert (entry.file is None) == (entry.url is not None), name
        if entry.url is not None:
            assert entry.url.startswith("https://")
    assert len(list_models("avid*")) == 4 and len(list_models("xdc_*")) == 5
    with pytest.raises(ValueError, match="no model 'avid_audioste'; there is: avid_audioset"):
        find_entry("avid_audioste")
