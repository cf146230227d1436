"""The statistics of AVID's spectrograms: imported, taken along, and found beside the weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.file_server import FileServer
from helpers.paths import ROOT
from helpers.peer_files import write_statistics
from helpers.tools_in_process import run_tool

from cmac_mm.datasets.transforms import AVIDSpectrogram
from cmac_mm.utils import load_config
from cmac_mm.zoo import avid_statistics, find_statistics, import_statistics, place_statistics
from cmac_mm.zoo.avid_statistics import NAME, copy_statistics


@pytest.mark.parametrize(
    ("bands", "n_fft", "hop", "frames"), [(257, 1024, 240, 200), (129, 512, 480, 100)]
)
def test_a_band_is_standardised_by_its_own_figures(bands, n_fft, hop, frames, tmp_path):
    path, out = write_statistics(tmp_path, bands), tmp_path / "ours.json"
    run_tool("converters/import_statistics.py", path, out)
    rng = np.random.default_rng(1)
    sound = 0.05 * rng.standard_normal((1, 48000)).astype(np.float32)
    spectrograms = [
        AVIDSpectrogram(statistics, n_fft=n_fft, hop_length=hop)
        .transform(dict(waveform=sound.copy(), sample_rate=24000))["audios"][0, 0]
        .numpy()
        for statistics in (None, out)
    ]
    content = np.load(path)
    wanted = (spectrograms[0] - content["mean"][:, None]) / (content["std"][:, None] + 1e-5)
    assert wanted.shape == (bands, frames)
    np.testing.assert_allclose(spectrograms[1], wanted, rtol=1e-6)


def test_the_authors_own_files(tmp_path):
    for name, bands, first in (("513", 257, -13.771523), ("257", 129, -10.620789)):
        path = ROOT.parent / f"shared/peers/avid_audio-spectDB-24k-{name}-norm-stats.npz"
        if not path.is_file():
            pytest.skip("the authors' files are not here")
        settings = import_statistics(path, tmp_path / "out.json")
        content = json.loads((tmp_path / "out.json").read_text())
        assert settings["n_fft"] == 4 * (bands - 1) and len(content["std"]) == bands
        assert np.float32(content["mean"][0]) == np.float32(first)


def test_what_is_no_statistics(tmp_path):
    def refused(message, **arrays):
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            import_statistics(tmp_path / "x.npz", tmp_path / "out.json")

    ones = np.ones(257, np.float32)
    refused("with mean and std", mean=ones)
    refused(r"got shapes \(5,\)", mean=np.ones(5), std=np.ones(5))
    refused("no band can have", mean=ones, std=-ones)
    refused("with mean and std", mean=np.array([print]), std=ones)  # a pickle
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"x\.npz: expected an \.npz"):
        import_statistics(tmp_path / "x.npz", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def test_they_lie_beside_the_weights(tmp_path):
    nothing = find_statistics(tmp_path)
    assert nothing == tmp_path / NAME and not nothing.exists()
    write_statistics(tmp_path)
    assert find_statistics(tmp_path).is_file()
    (tmp_path / "converted").mkdir()
    copy_statistics(tmp_path, tmp_path / "converted")
    assert (tmp_path / "converted" / NAME).read_text() == nothing.read_text()
    cfg = load_config("cmac_mm::_base_/released/avid.py")
    place_statistics(cfg, tmp_path / "avid.pth")
    (step,) = (s for s in cfg.test_dataloader.dataset.pipeline if s.type == "AVIDSpectrogram")
    assert step.statistics == str(nothing)
    step.statistics = "mine.json"
    place_statistics(cfg, tmp_path / "avid.pth")
    assert step.statistics == "mine.json"


def test_they_are_fetched_for_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    content = write_statistics(tmp_path).read_bytes()
    path = f"/{Path(avid_statistics._URL).name}"
    with FileServer({path: content}) as server:
        monkeypatch.setattr(avid_statistics, "_URL", server.address + path)
        with pytest.raises(RuntimeError, match=r"another file than expected.*put it into"):
            find_statistics(tmp_path / "torch", fetch=True)
        monkeypatch.setattr(avid_statistics, "_SHA256", None)
        assert find_statistics(tmp_path / "torch", fetch=True).is_file()
