"""Results of real files beside those computed clip by clip, step by step."""

import http.server
import json
import shutil
import threading
from functools import partial

import numpy as np
import pytest
import torch
from mmaction.registry import TRANSFORMS
from mmengine.config import Config

from cmac_mm.apis import AudioVisualInferencer, init_model
from cmac_mm.datasets.av_reader import MediaFile, read_frames, read_sound
from cmac_mm.features import VideoResult
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes, read_ground_truth
from cmac_mm.utils import load_config

DEMO = "cmac_mm::demo/cmac_sounding-shapes.py"
KINETICS = "kinetics/bungee_jumping/zkXOcxGnUhs_000025_000035.mp4"
GRID = "grid_mini/bbaf2n.mpg"
SILENT = "nasty/ucf101__v_BaseballPitch_g06_c04.avi"


@pytest.fixture(scope="module")
def inferencer():
    torch.manual_seed(0)
    return AudioVisualInferencer(DEMO, device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def kinetics(inferencer, media_dir):
    (result,) = inferencer(media_dir / KINETICS, progress=False)
    return result


def read_clip(pipeline, path, start):
    """The inputs of a clip that begins at a given second."""
    results = dict(filename=str(path), sample_idx=0)
    for step in pipeline:
        if step["type"] != "SampleClips":
            results = TRANSFORMS.build(dict(step))(results)
            continue
        audio = step.get("audio_duration") or step["duration"]
        results.update(clip_start=[start], audio_start=[start])
        results.update(clip_duration=step["duration"], audio_duration=audio)
    return {key: value[None] for key, value in results["inputs"].items()}


def same(result, names, other):
    for name in names:
        np.testing.assert_allclose(result[name], other[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_fields_are_those_of_each_clip(inferencer, kinetics, media_dir):
    model, pipeline = inferencer.model, inferencer.pipeline
    assert kinetics.starts.tolist() == list(range(int(kinetics.duration)))
    assert kinetics.clip_seconds == dict(visual=1.0, audio=1.0)
    for index in (0, 3, 9):
        inputs = read_clip(pipeline, media_dir / KINETICS, kinetics.starts[index])
        with torch.no_grad():
            (sample,) = model(**model.data_preprocessor(dict(inputs=inputs)), mode="predict")
        for key, value in sample.items():
            value = value[0] if key.endswith("_attention") else value
            np.testing.assert_allclose(kinetics[key][index], value, rtol=1e-4, atol=1e-5)
        cosine = torch.nn.functional.cosine_similarity(
            sample.visual_embedding, sample.audio_embedding, dim=0
        )
        assert kinetics["similarity"][index] == pytest.approx(float(cosine), abs=1e-5)
    assert kinetics["guided_visual_attention"].shape == (10, 4, 8, 8)
    left, top, width, height = kinetics.region
    with MediaFile(str(media_dir / KINETICS)).container as container:
        picture = container.streams.video[0]
        ratio = picture.width / picture.height
    assert (top, height) == (0, 1)  # the demo has pictures of its crop's height
    assert width == pytest.approx(1 / ratio, abs=0.01) and left == pytest.approx((1 - width) / 2)


def test_a_video_as_a_whole(kinetics):
    mean = np.mean(kinetics["visual_feature"], axis=0)
    np.testing.assert_allclose(kinetics.whole("visual_feature"), mean, rtol=1e-5)
    direction = kinetics["audio_embedding"].sum(axis=0)
    direction /= np.linalg.norm(direction)
    np.testing.assert_allclose(kinetics.whole("audio_embedding"), direction, atol=1e-6)
    with pytest.raises(KeyError, match=r"zkXOc.*gave no 'scores'; it gave .*visual_feature"):
        kinetics["scores"]


def test_stride_batches_and_workers_change_nothing(inferencer, kinetics, media_dir):
    torch.manual_seed(0)
    other = AudioVisualInferencer(DEMO, device="cpu", batch_size=3)
    (halves,) = other(media_dir / KINETICS, stride=0.5, num_workers=1, progress=False)
    assert halves.starts.tolist() == [i / 2 for i in range(19)]
    for name, values in kinetics.fields.items():
        np.testing.assert_allclose(halves[name][::2], values, rtol=1e-4, atol=1e-5)


def test_whole_picture(inferencer, media_dir):
    wide = AudioVisualInferencer(inferencer.model, device="cpu", whole_picture=True)
    (result,) = wide(media_dir / KINETICS, stride=4, progress=False)
    assert result.region == (0, 0, 1, 1)
    *_, height, width = result["guided_visual_attention"].shape
    assert width > height


def test_stages(media_dir):
    torch.manual_seed(0)
    inferencer = AudioVisualInferencer(DEMO, device="cpu", stages=True)
    (result,) = inferencer(media_dir / GRID, progress=False)
    for name, width in (("visual", 8), ("audio", 16)):
        for stage in range(4):
            assert result[f"{name}_stage{stage + 1}"].shape == (3, width * 2**stage)
        np.testing.assert_allclose(
            result[f"{name}_stage4"], result[f"{name}_feature"], rtol=1e-4, atol=1e-6
        )
    inferencer.model.audio_backbone = torch.nn.Identity()
    with pytest.raises(ValueError, match="Identity does not tell its stages"):
        AudioVisualInferencer(inferencer.model, device="cpu", stages=True)


def test_what_one_modality_alone_tells(inferencer, media_dir, kinetics, tmp_path):
    sound = tmp_path / "sound.wav"
    shutil.copy(next(media_dir.glob("esc10_mini/audio/*.*")), sound)
    heard, seen = inferencer([sound, media_dir / SILENT], progress=False)
    assert set(heard.fields) == {"audio_feature", "audio_embedding", "predicted_audio_attention"}
    assert set(seen.fields) == {"visual_feature", "visual_embedding", "predicted_visual_attention"}
    assert heard.clip_seconds == dict(audio=1.0) and seen.clip_seconds == dict(visual=1.0)
    # The same numbers as with both.
    alone = MediaFile(str(media_dir / KINETICS), need_video=False)
    rate = alone.audio.rate
    wave = read_sound(alone, [0.0], 10.0, rate)[0]
    (again,) = inferencer((None, wave, (None, rate)), progress=False)
    np.testing.assert_allclose(
        again["audio_feature"][1], kinetics["audio_feature"][1], rtol=0.05, atol=0.02
    )


@pytest.mark.parametrize(
    "name", ["avid_sounding-shapes", "xdc_sounding-shapes", "xdc-visual_sounding-shapes"]
)
def test_other_methods(name, media_dir):
    inferencer = AudioVisualInferencer(f"cmac_mm::demo/{name}.py", device="cpu")
    both, alone = inferencer([media_dir / GRID, media_dir / SILENT], progress=False)
    fields = {key for key in both.fields if key.startswith("visual")}
    assert fields and fields <= set(alone.fields)
    assert ("similarity" in both.fields) == name.startswith("avid")


def test_class_scores(media_dir, tmp_path):
    cfg = load_config("cmac_mm::recognition/cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py")
    cfg.model.backbone = dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1))
    cfg.model.cls_head.update(in_channels=32, num_classes=3)
    torch.manual_seed(0)
    model = init_model(cfg)
    labels = tmp_path / "classes.txt"
    labels.write_text("run\njump\nsit still\n")
    inferencer = AudioVisualInferencer(model, device="cpu", labels=labels)
    (result,) = inferencer(media_dir / SILENT, progress=False)
    assert result["scores"].sum(axis=1) == pytest.approx(np.ones(len(result.starts)))
    inputs = read_clip(inferencer.pipeline, media_dir / SILENT, 0.0)
    with torch.no_grad():
        logits = model.cls_head(model.backbone(model.data_preprocessor.normalize(inputs["imgs"])))
    np.testing.assert_allclose(result["scores"][0], logits.softmax(dim=1)[0], atol=1e-5)
    names = [name for name, _ in result.best_classes(2)]
    order = np.argsort(-result["scores"].mean(axis=0))
    assert names == [["run", "jump", "sit still"][i] for i in order[:2]]


def test_kinds_of_inputs(inferencer, media_dir, tmp_path):
    folder = tmp_path / "videos [1]"
    (folder / "more").mkdir(parents=True)
    for name in ("b.mpg", "more/a.mpg"):
        shutil.copy(media_dir / GRID, folder / name)
    (folder / "notes.txt").write_text("no video")
    expected = [str(folder / "b.mpg"), str(folder / "more/a.mpg")]
    run = partial(inferencer, progress=False)
    found = run(folder)
    assert [result.source for result in found] == expected
    assert run(str(folder / "b.mpg"))[0].source == expected[0]
    pattern = f"{tmp_path}/**/*.mpg"
    assert [result.source for result in run([pattern])] == expected
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/videos [1]/b.mpg"
        fetched, lost = run([address, address + "x"])
        server.shutdown()
    assert fetched.source == address and "404" in lost.problem
    for result in (fetched, *found):
        same(result, found[0].fields, found[0])


@pytest.mark.parametrize("width", [60, 61])
def test_arrays(inferencer, width, media_dir):
    media = MediaFile(str(media_dir / GRID))
    frames = []
    times = [k / 25 for k in range(50)]
    read_frames(media, times, lambda t, f: frames.append(f.to_ndarray(format="rgb24")))
    frames = np.stack(frames)[:, 40:88, 60 : 60 + width]
    wave = read_sound(media, [0.0], 2.0, 44100)[0]
    stereo = np.stack([wave, wave])
    (result,) = inferencer((frames, stereo, (25, 44100)), progress=False)
    assert result.source == "array 0" and result.duration == pytest.approx(2)
    # What the network gets is what the arrays hold.
    kept = MediaFile(result.path)
    np.testing.assert_array_equal(read_sound(kept, [0.0], 2.0, 44100)[0], wave)
    seen = []
    read_frames(kept, times, lambda t, f: seen.append(f.to_ndarray(format="rgb24")))
    np.testing.assert_array_equal(seen, frames)


def test_bad_files_cost_a_line_each(inferencer, media_dir, tmp_path, capfd):
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    bad = [tmp_path / "noise.mp4", media_dir / "nasty/moviepy__result.webm", "nowhere.mp4"]
    results = inferencer([bad[0], media_dir / GRID, *bad[1:]], progress=False)
    assert [bool(result.problem) for result in results] == [True, False, True, True]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("left out: ") for line in lines)
    for path in bad:
        assert sum(str(path) in line for line in lines) == 1
    with pytest.raises(ValueError, match=r"no video can be used: nowhere\.mp4: there is no such"):
        inferencer("nowhere.mp4", progress=False)
    with pytest.raises(KeyError, match=r"nowhere\.mp4.*there is no such file"):
        results[3]["visual_feature"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (3.5, "input 0 is a float"),
        ([["a.mp4"]], "input 0 is a list"),
        ("nothing/*.mp4", "no file matches"),
        ((np.zeros((2, 4, 4)), None, (25, None)), r"frames: expected \(T, H, W, 3\) uint8"),
        ((None, np.zeros(9, np.int16), (None, 8000)), "waveform: expected .* floats"),
        ((np.zeros((2, 4, 4, 3), np.uint8), None, (0, None)), "fps: expected a positive"),
        ("ftp://host/a.mp4", "ftp://host/a.mp4: expected the address of a file"),
    ],
)
def test_wrong_inputs_are_refused(inferencer, inputs, message):
    with pytest.raises(ValueError, match=message):
        inferencer(inputs, progress=False)


def test_wrong_options_are_refused(inferencer):
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        AudioVisualInferencer(DEMO, batch_size=0)
    with pytest.raises(ValueError, match="this model has its own"):
        AudioVisualInferencer(inferencer.model, "weights.pth")
    with pytest.raises(ValueError, match="no test_dataloader"):
        AudioVisualInferencer(Config(dict(model=load_config(DEMO).model)))
    with pytest.raises(ValueError, match="one positive stride"):
        inferencer("a.mp4", stride=0)
    audio = "cmac_mm::audio/cmac_resnet9_10x2s_esc50.py"
    with pytest.raises(ValueError, match="the test pipeline has no OpenAudioVisual"):
        AudioVisualInferencer(audio, device="cpu")("a.mp4")


def test_files_of_results(kinetics, tmp_path):
    kinetics.save_npz(tmp_path / "a.npz")
    kinetics.save_json(tmp_path / "a.json")
    again = VideoResult.load_npz(tmp_path / "a.npz")
    assert again.about() == kinetics.about() and again.path == kinetics.path
    assert set(again.fields) == set(kinetics.fields)
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["starts"] == kinetics.starts.tolist() == again.starts.tolist()
    for name, values in kinetics.fields.items():
        np.testing.assert_array_equal(again[name], values)
        np.testing.assert_allclose(content["fields"][name], values, atol=1e-6)
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:200])
    np.savez(tmp_path / "c.npz", a=np.zeros(3))
    for name, reason in (("b", "incomplete"), ("c", "expected results of a video")):
        with pytest.raises(ValueError, match=rf"{name}\.npz: {reason}"):
            VideoResult.load_npz(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError):
        VideoResult.load_npz(tmp_path / "d.npz")


def test_the_model_in_the_package(media_dir, tmp_path):
    """It is there without a network, and says what it is."""
    inferencer = AudioVisualInferencer(device="cpu")
    assert inferencer.name == "cmac-demo" and "drawn shapes only" in inferencer.note
    make_sounding_shapes(tmp_path, num_train=8, num_test=16, seed=5, workers=1, num_bad=0)
    videos = sorted((tmp_path / "videos/test").glob("*.mp4"))
    results = inferencer(videos, progress=False)
    truths = [read_ground_truth(path) for path in videos]
    # Its sound tells the kinds, which an untrained network's does not as well: its card says 100 %.
    features = np.stack([result.whole("audio_feature") for result in results])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    similarity = features @ features.T - 2 * np.eye(len(features))
    kinds = np.array([truth["kind"] for truth in truths])
    paired = np.array([(kinds == kind).sum() > 1 for kind in kinds])
    hits = kinds[similarity.argmax(axis=1)] == kinds
    assert hits[paired].mean() > 0.9
    with pytest.raises(ValueError, match="no model 'cmac-dem'; there is: cmac-demo"):
        AudioVisualInferencer("cmac-dem")
