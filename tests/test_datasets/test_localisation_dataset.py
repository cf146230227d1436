"""Boxes and names of VGG-SS and Flickr-SoundNet."""

import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from mmengine.registry import init_default_scope

from cmac_mm.datasets import LocalisationDataset, MediaError
from cmac_mm.datasets.localisation import read_flickr_boxes, read_vggss_boxes
from cmac_mm.evaluation.functional import consensus_map

BOX = "<bbox><id>{}</id><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bbox>"
STILL = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=0.5, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="StillClip", clip_len=4),
    dict(type="Resize", scale=(32, 32), keep_ratio=False),
    dict(type="LogMelSpectrogram", num_mels=40),
    dict(type="PackAudioVisual"),
]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def write_xml(path, *boxes):
    inner = "".join(f"<a>{BOX.format(i, *box)}</a>" for i, box in enumerate(boxes))
    path.write_text(f"<annotation><filename>x</filename>{inner}</annotation>")


@pytest.fixture
def folder(tmp_path):
    """Three pictures with their sounds, in both annotations; the files of the last are missing."""
    for name in ("frames", "audio", "boxes"):
        (tmp_path / name).mkdir()
    for number, name in enumerate("ab"):
        picture = np.full((30, 50, 3), (0, 0, 100 + number), np.uint8)  # red
        cv2.imwrite(str(tmp_path / f"frames/{name}.jpg"), picture)
        soundfile.write(tmp_path / f"audio/{name}.wav", np.full(24_000, 0.1 * number), 24_000)
    entries = [dict(file=name, bbox=[[0.25, 0.5, 0.75, 1]]) | {"class": "x"} for name in "cba"]
    (tmp_path / "vggss.json").write_text(json.dumps(entries))
    for name in "abc":
        write_xml(tmp_path / f"boxes/{name}.xml", (64, 0, 128, 256), (64, 0, 192, 128))
    (tmp_path / "names.csv").write_bytes(b"a,202\r\nb,0\r\nc,7\r\n")
    return tmp_path


def build(folder, boxes="vggss.json", **more):
    options = dict(
        ann_file=str(folder / "names.csv"),
        boxes=str(folder / boxes),
        pipeline=STILL,
        data_prefix=dict(picture=str(folder / "frames"), audio=str(folder / "audio")),
    )
    return LocalisationDataset(**{**options, **more})


def test_a_still_picture_is_a_clip_that_stands(folder):
    dataset = build(folder)
    assert [Path(info["filename"]).stem for info in dataset.data_list] == ["a", "b", "c"]
    packed = dataset[1]
    clip = packed["inputs"]["imgs"]
    assert clip.shape == (3, 4, 32, 32)
    assert all(clip[:, t].equal(clip[:, 0]) for t in range(4))
    assert clip[0].float().mean() == pytest.approx(101, abs=2) and clip[2].max() < 5  # RGB
    assert packed["inputs"]["audio"].shape[:2] == (1, 40)
    sample = packed["data_samples"]
    assert (sample.sample_idx, sample.consensus) == (1, 1)
    assert sample.boxes == [[[0.25, 0.5, 0.75, 1]]]
    with pytest.raises(MediaError, match=r"c\.wav"):
        dataset[2]


def test_annotators_of_flickr_vote(folder):
    sample = build(folder, "boxes")[0]["data_samples"]
    assert (sample.consensus, len(sample.boxes)) == (2, 2)
    votes = consensus_map(sample.boxes, sample.consensus)
    assert votes[:112, 56:112].eq(1).all()  # both
    assert votes[112:, 56:112].eq(0.5).all() and votes[:112, 112:168].eq(0.5).all()
    assert votes.sum() == 56 * 112 * 2


def test_missing_files_can_be_left_out(folder):
    dataset = build(folder, skip_missing=True)
    assert [dataset.get_data_info(i)["sample_idx"] for i in range(len(dataset))] == [0, 1]
    with pytest.raises(ValueError, match="lists 3 names, and the files of none are there"):
        build(folder, skip_missing=True, data_prefix=dict(video=str(folder)))


def test_mistakes_are_named(folder):
    with pytest.raises(ValueError, match=r"expected 'picture' and 'audio', or 'video', got \['x'"):
        build(folder, data_prefix=dict(x="y"))
    (folder / "vggss.json").write_text('[{"file": "a", "bbox": [[0, 0, 1, 1]]}]')
    with pytest.raises(ValueError, match=r"names\.csv: b has no boxes in .*vggss\.json"):
        build(folder)
    (folder / "boxes/b.xml").unlink()
    with pytest.raises(ValueError, match=r"b\.xml: there is no such file"):
        build(folder, "boxes")
    (folder / "names.csv").write_text("\n")
    with pytest.raises(ValueError, match="lists no names"):
        build(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a list, found a dict"),
        ('[{"file": "a", "bbox": [[0, 0, 1]]}]', "entry 0: expected 'file' and 'bbox'"),
        ('[{"file": "a", "bbox": [[0, 0, 1, NaN]]}]', "entry 0: .* four finite numbers"),
        ('[{"bbox": []}]', "entry 0: expected 'file'"),
        ('[{"file": "a", "bbox": []}, {"file": "a", "bbox": []}]', "entry 1: a is there twice"),
        ("[", "not readable as JSON"),
    ],
)
def test_other_json_is_refused(tmp_path, text, message):
    path = tmp_path / "vggss.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_vggss_boxes(path)


@pytest.mark.parametrize(
    "text", ["<a", "<a><b><bbox><x>1</x></bbox></b></a>", BOX.format(*"12345")]
)
def test_other_xml_is_refused_or_empty(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    if text.startswith("<bbox"):
        assert read_flickr_boxes(path) == []
    else:
        with pytest.raises(ValueError, match=r"a\.xml: expected boxes of four"):
            read_flickr_boxes(path)


def test_the_published_annotations(media_dir, tmp_path):
    annotations = media_dir / "annotations"
    if not (annotations / "vggss.json").is_file():
        pytest.skip("needs the annotation files of VGG-SS and Flickr-SoundNet")
    found = read_vggss_boxes(annotations / "vggss.json")
    assert len(found) == 5158
    assert sum(len(boxes) for (boxes,) in found.values()) == 5941
    thin = {}
    for name, (boxes,) in found.items():
        corners = np.floor(224 * np.clip(boxes, 0, 1))
        thin[name] = (corners[:, 2:] <= corners[:, :2]).any(axis=1)
    # Turned around or of no size: 18 pictures have such a box, 2 of these no other one.
    assert sum(none.any() for none in thin.values()) == 18
    empty = [name for name, none in thin.items() if none.all()]
    assert len(empty) == 2 and not any(consensus_map(found[name]).any() for name in empty)
    options = dict(pipeline=[], data_prefix=dict(video=""))
    vggss = LocalisationDataset(
        str(annotations / "vggss_test.csv"), str(annotations / "vggss.json"), **options
    )
    assert {Path(info["filename"]).stem for info in vggss.data_list} == set(found)
    assert len(vggss) == 5158
    assert Counter(len(info["boxes"][0]) for info in vggss.load_data_list())[1] == 4619
    boxes = annotations.parent / "no boxes"
    with pytest.raises(ValueError, match=r"no boxes/10000130166\.xml: there is no such file"):
        LocalisationDataset(str(annotations / "flickr_test.csv"), str(boxes), **options)
    write_xml(tmp_path / "all.xml", (0, 0, 256, 256))
    names = [line.split(",")[0] for line in (annotations / "flickr_test.csv").open()]
    for name in names:
        (tmp_path / f"{name}.xml").symlink_to("all.xml")
    flickr = LocalisationDataset(str(annotations / "flickr_test.csv"), str(tmp_path), **options)
    assert len(flickr) == len({info["filename"] for info in flickr.data_list}) == 249
