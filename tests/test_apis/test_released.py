"""Released models by name: from files of the full layout, over a server on this machine."""

import logging

import numpy as np
import pytest
import soundfile
import torch
from helpers.file_server import FileServer
from helpers.paths import ROOT
from helpers.peer_files import write_full, write_statistics
from helpers.tools_in_process import run_tool
from mmengine.dataset import Compose, default_collate
from mmengine.logging import MMLogger

from cmac_mm.apis import AudioVisualInferencer, get_model, inference, list_models, released
from cmac_mm.features import find_test_pipeline
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config
from cmac_mm.zoo import entries, find_entry, one_encoder

NAMES = dict(
    avid="avid-cma_audioset",
    gdt="gdt_ig65m",
    selavi="selavi_vggsound",
    xdc="xdc_fs_kinetics",
    torchvision="torchvision_kinetics",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peers")
    write_statistics(folder)
    return {source: write_full(source, folder / f"{source}.pth") for source in NAMES}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    make_sounding_shapes(folder, num_train=1, num_test=0, num_bad=0, workers=1)
    return folder / "videos/train/000000.mp4"


@pytest.fixture
def logged():
    """What the log says."""
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_a_name_is_all_one_needs(files, tmp_path, monkeypatch, logged):
    """From the address to the model; the second time without a server; the licence once."""
    released._tell_licence.cache_clear()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = NAMES["selavi"]
    path = find_entry(name).url.removeprefix("https://dl.fbaipublicfiles.com")
    with FileServer({path: files["selavi"].read_bytes()}) as server:
        known = dict(entries.read_entries())
        local = {**vars(known[name]), "url": server.address + path}
        known[name] = entries.Entry(**local)
        monkeypatch.setattr(entries, "read_entries", lambda: known)
        model = get_model(name)
    again = get_model(name)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len([line for line in logged if "CC-BY-NC" in line]) == 1
    assert not model.info.commercial_use and model.info.pretraining == "VGG-Sound"
    assert not model.training


def test_avid_sees_and_hears_as_it_was_trained(files, video):
    model = get_model(NAMES["avid"], file=files["avid"])
    visual, audio = model.info.visual, model.info.audio
    assert (visual.frames, visual.fps, visual.size, visual.pooling) == (8, 16, 224, "max")
    assert visual.backbone["variant"] == "avid" and visual.mean[0] == 123.675
    assert (audio.sample_rate, audio.duration, audio.pooling) == (24000, 2.0, "max")
    pipeline = find_test_pipeline(model.cfg)
    packed = Compose(pipeline)(dict(filename=str(video), sample_idx=0))
    shapes = {key: tuple(value.shape) for key, value in packed["inputs"].items()}
    assert shapes == dict(imgs=(10, 3, 8, 224, 224), audio=(10, 1, 257, 200))


def test_gdt_gives_embeddings_and_maps_of_a_video(files, video):
    model = get_model(NAMES["gdt"], file=files["gdt"])
    _, clips, decoding, crop, *_ = model.cfg.test_dataloader.dataset.pipeline
    clips.num_clips, decoding.clip_len, crop.crop_size = 1, 8, 64  # less to compute
    result = inference(model, video)
    assert result.visual_embedding.shape == result.audio_embedding.shape == (256,)
    assert result.guided_visual_attention.shape == (1, 1, 4, 4)
    assert result.guided_audio_attention.shape == (1, 9, 4)
    assert float(result.guided_audio_attention.min()) >= 0


@pytest.mark.parametrize("source", ["avid", "selavi"])
def test_one_encoder_alone(source, files, tmp_path):
    model = get_model(NAMES[source], "audio", file=files[source])
    assert model.info.visual is None and model.pooling == model.info.audio.pooling
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "sound.wav", rng.uniform(-0.5, 0.5, 48000), 24000)
    packed = Compose(find_test_pipeline(model.cfg))(
        dict(filename=str(tmp_path / "sound.wav"), sample_idx=0)
    )
    assert set(packed["inputs"]) == {"audio"}
    with torch.no_grad():
        (sample,) = model.test_step(default_collate([packed]))
    assert sample.audio_feature.shape == (512,)


@pytest.mark.parametrize("source", ["xdc", "torchvision"])
def test_what_has_no_audio_encoder_says_so(source, files):
    model = get_model(NAMES[source], file=files[source])
    assert model.info.audio is None and model.info.labels
    with pytest.raises(ValueError, match=r"has no audio encoder, only visual"):
        get_model(NAMES[source], "audio", file=files[source])


def test_what_does_not_fit_the_name(files, tmp_path):
    with pytest.raises(RuntimeError, match=r"gdt\.pth is no checkpoint of avid"):
        get_model("avid_kinetics", file=files["gdt"])
    with pytest.raises(FileNotFoundError, match="none"):
        get_model("avid_kinetics", file=tmp_path / "none.pth")
    with pytest.raises(ValueError, match="no model 'avid'; there is"):
        get_model("avid")
    with pytest.raises(ValueError, match="modality must be"):
        get_model("avid_kinetics", "text")


@pytest.mark.parametrize("name", list_models())
def test_every_name_says_what_it_takes(name):
    entry = find_entry(name)
    cfg = load_config(released.config_of(entry))
    for modality, found in released.describe_inputs(cfg).items():
        assert found.backbone["type"] and found.pooling in ("avg", "max")
        assert one_encoder(cfg, modality).model.modality == modality


def test_the_docs_have_the_table_that_the_command_prints(capsys):
    run_tool("list_models.py")
    table = capsys.readouterr().out
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    assert text.split("<!-- table -->\n")[1].split("<!-- end -->")[0].rstrip("\n") + "\n" == table
    assert len(table.splitlines()) == 2 + len(list_models())


def test_torch_hub(files):
    """As from a checkout: `source="local"` needs no network."""
    model = torch.hub.load(str(ROOT), "gdt_ig65m", source="local", file=files["gdt"])
    assert model.info.name == "gdt_ig65m"


def test_pictures_by_a_released_model(files, video, media_dir, tmp_path):
    """Maps over a spectrogram that is not mel; a video without sound."""
    inferencer = AudioVisualInferencer("avid-cma_audioset", files["avid"], device="cpu")
    silent = media_dir / "nasty/ucf101__v_BaseballPitch_g06_c04.avi"
    both, alone = inferencer([video, silent], progress=False)
    assert set(alone.fields) == {"visual_feature", "visual_embedding"}
    assert both.clip_seconds == dict(visual=0.5, audio=2.0)
    inferencer.picture(both, tmp_path / "a.png", num_frames=2)
    inferencer.overlay(both, tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="avid-cma_audioset gives no attention maps to draw"):
        inferencer.picture(alone, tmp_path / "b.png")
