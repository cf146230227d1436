"""Files that are damaged, unsafe, or no checkpoints, through everything that reads one."""

import functools
import http.server
import io
import pickle
import random
import runpy
import subprocess
import threading
import zipfile

import numpy as np
import pytest
import torch
from helpers.paths import TINY
from helpers.tools_in_process import TOOLS, run_tool
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint as mmengine_load
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from cmac_mm.apis import convert_checkpoint, init_model
from cmac_mm.models import PretrainedEncoder
from cmac_mm.utils import latest_checkpoint, load_checkpoint, load_weights


def make_module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.pth"
    torch.save({"state_dict": make_module().state_dict(), "meta": {"iter": 3, "epoch": 1}}, path)
    return path


@pytest.fixture
def log(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def tensor_byte(path):
    """Where a byte of a weight is."""
    value = load_checkpoint(path)["state_dict"]["0.weight"].numpy().tobytes()
    return path.read_bytes().index(value) + 3


def flip(source, target, place, bit=0):
    content = bytearray(source.read_bytes())
    content[place] ^= 1 << bit
    target.write_bytes(content)
    return target


def same(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def test_a_flipped_bit_is_found_wherever_it_matters(good, tmp_path):
    """Time stamps, padding and the like are in no check sum: such a file holds the same."""
    expected, generator, found = load_checkpoint(good), random.Random(0), 0
    size = good.stat().st_size
    for place in generator.sample(range(size), 500):
        path = flip(good, tmp_path / "flipped.pth", place, generator.randrange(8))
        try:
            content = load_checkpoint(path)
        except RuntimeError as error:
            assert str(error).startswith(f"{path} cannot be read as a checkpoint: ")
            assert "unsafe" not in str(error)
            found += 1
        else:
            assert same(content, expected), place
    assert found > 150


def serve(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def read_url(path):
    server = serve(path.parent)
    try:
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        return CheckpointLoader.load_checkpoint(url, "cpu")
    finally:
        server.shutdown()


def train(path, *args):
    run_tool("train.py", TINY / "tiny_config.py", "--work-dir", path.parent / "work", *args)


READERS = {
    "load_checkpoint": load_checkpoint,
    "load_weights": lambda path: load_weights(make_module(), path),
    "init_cfg": lambda path: PretrainedEncoder(path, prefix="")(make_module()),
    "converter": lambda path: convert_checkpoint(path, path.parent / "out.pth", "torchvision"),
    "init_model": lambda path: init_model("cmac_mm::demo/cmac_sounding-shapes.py", path),
    "mmengine": lambda path: mmengine_load(make_module(), str(path)),
    "mmengine, url": read_url,
    "test.py": lambda path: run_tool("test.py", TINY / "tiny_config.py", path, cwd=path.parent),
    "load_from": lambda path: train(path, "--cfg-options", f"load_from={path}"),
    "resume": lambda path: train(path, "--resume", path),
    "mining_diagnostics": lambda path: runpy.run_path(
        str(TOOLS / "analysis/mining_diagnostics.py")
    )["load_banks"](str(path), "cpu"),
}


@pytest.fixture(params=READERS)
def reader(request, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.syspath_prepend(TINY)
    return READERS[request.param]


def test_every_reader_refuses_a_flipped_bit_of_a_weight(reader, good, tmp_path):
    path = flip(good, tmp_path / "flipped.pth", tensor_byte(good))
    with pytest.raises(
        RuntimeError, match=r"flipped\.pth.* cannot be read as a checkpoint: it is da"
    ):
        reader(path)
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize("reader", ["test.py", "load_from", "resume"], indirect=True)
def test_runs_refuse_weights_that_are_no_numbers(reader, tmp_path):
    run_tool("train.py", TINY / "tiny_config.py", "--work-dir", tmp_path / "first")
    content = torch.load(tmp_path / "first/epoch_1.pth", weights_only=False)
    for state, prefix in ((content["state_dict"], ""), (content["ema_state_dict"], "module.")):
        state[f"{prefix}layers.0.bias"][1] = torch.nan
    torch.save(content, tmp_path / "nan.pth")
    with pytest.raises(RuntimeError, match=r"nan\.pth: 1 of .* the first is layers\.0\.bias"):
        reader(tmp_path / "nan.pth")


class RunsCode:
    def __reduce__(self):
        return subprocess.call, (["true"],)


def plain_zip():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    return content.getvalue()


@pytest.mark.parametrize("name", ["load_checkpoint", "mmengine"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"epoch_1.pth", r"it is no checkpoint.*it begins with b'epoch_1"),
        (b"config = 3\nother = 4\n", "it is no checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is no checkpoint.*version https"),
        (b"", "it is empty"),
        (bytes(1000), "it is no checkpoint"),
        (plain_zip(), "cannot be read as a checkpoint"),
        (b"PK\x03\x04 cut off", "it is damaged"),
        (pickle.dumps({"run": RunsCode()}), "refused as unsafe: it is a plain Python pickle"),
        (pickle.dumps({"run": RunsCode()}, protocol=0), "refused as unsafe: it is a plain Python"),
    ],
)
def test_what_is_no_checkpoint_is_called_so(tmp_path, name, content, expected):
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=rf"file\.pth.*{expected}") as info:
        READERS[name](path)
    assert "weights_only" not in str(info.value)
    assert info.value.__suppress_context__ or info.value.__context__ is None


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
@pytest.mark.parametrize("protocol", [2, 4])
def test_an_unsafe_file_is_called_unsafe_and_gets_no_advice(tmp_path, options, protocol):
    torch.save({"run": RunsCode()}, tmp_path / "iter_2.pth", pickle_protocol=protocol, **options)
    with pytest.raises(RuntimeError, match=r"iter_2\.pth is refused: .*the file is unsafe") as info:
        load_checkpoint(tmp_path / "iter_2.pth")
    assert "weights_only" not in str(info.value)
    assert "damaged" not in str(info.value)
    assert info.value.__suppress_context__


def test_automatic_resuming_says_why_a_file_is_passed_over(good, tmp_path, log):
    flip(good, tmp_path / "iter_3.pth", tensor_byte(good))
    content = load_checkpoint(good)
    content["meta"]["iter"] = 2
    torch.save(content, tmp_path / "iter_2.pth")
    torch.save({"meta": {"iter": 9}, "run": RunsCode()}, tmp_path / "iter_9.pth")
    (tmp_path / "iter_8.pth").write_text("nothing")
    assert latest_checkpoint(tmp_path) == str(tmp_path / "iter_2.pth")
    messages = {
        next(name for name in ("iter_3", "iter_8", "iter_9") if name in message): message
        for message in log.messages
        if "Passed over" in message
    }
    assert "damaged" in messages["iter_3"]
    assert "unsafe" not in messages["iter_3"]
    assert "no checkpoint" in messages["iter_8"]
    assert "unsafe" in messages["iter_9"]
    assert "damaged" not in messages["iter_9"]
    assert not any("weights_only" in message for message in log.messages)


def test_files_without_check_sums_are_read_with_a_warning(tmp_path, log):
    """The format before PyTorch 1.6, and archives that were told to have none."""
    state = make_module().state_dict()
    old, without = tmp_path / "old.pth", tmp_path / "without.pth"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, without)
    finally:
        torch.serialization.set_crc32_options(True)
    for path in (old, without):
        log.clear()
        assert same(load_checkpoint(path), dict(state))
        assert f"{path} " in log.text
        assert "has no check sums" in log.text
    content = old.read_bytes()
    old.write_bytes(content[:-20])
    with pytest.raises(RuntimeError, match=r"old\.pth cannot be read as a checkpoint"):
        load_checkpoint(old)
    generator = np.random.default_rng(0)
    for _ in range(200):  # what is found is named, whatever torch raises
        flipped = bytearray(content)
        flipped[generator.integers(len(content))] ^= 1 << int(generator.integers(8))
        old.write_bytes(flipped)
        try:
            load_checkpoint(old)
        except RuntimeError as error:
            assert str(old) in str(error)
            assert "weights_only" not in str(error)
