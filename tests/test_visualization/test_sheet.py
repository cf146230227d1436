import cv2
import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample

from cmac_mm.visualization import SheetRow, attention_sheet, sheet_row
from cmac_mm.visualization.sheet import _mel_position

MELS = torch.linspace(100, 8000, 32)


def make_inputs(clips=None):
    lead = () if clips is None else (clips,)
    generator = torch.Generator().manual_seed(0)
    imgs = torch.randint(256, (*lead, 3, 8, 32, 32), generator=generator, dtype=torch.uint8)
    return {"imgs": imgs, "audio": torch.randn(*lead, 1, 32, 50, generator=generator)}


def make_sample(clips=1, predicted=True):
    sample = ActionDataSample(metainfo={"sample_idx": 0})
    names = ("guided", "predicted") if predicted else ("guided",)
    for name in names:
        sample.set_data(
            {
                f"{name}_visual_attention": torch.rand(clips, 2, 4, 4),
                f"{name}_audio_attention": torch.rand(clips, 4, 6),
            }
        )
    return sample


@pytest.mark.parametrize("clips", [None, 3])
def test_row_takes_the_first_clips_middle(clips):
    inputs, sample = make_inputs(clips), make_sample(clips or 1)
    boxes = torch.zeros(clips or 1, 8, 4)
    boxes[0, 4] = torch.tensor([0.5, 0.6, 0.7, 0.8])
    row = sheet_row(inputs, sample, "bell", boxes=boxes, band_hz=(200.0, 400.0))
    clip = inputs["imgs"] if clips is None else inputs["imgs"][0]
    np.testing.assert_array_equal(row.frame, clip[:, 4].permute(1, 2, 0).numpy())
    assert row.log_mel.shape == (32, 50)
    assert torch.equal(
        row.attention["guided_visual_attention"], sample.guided_visual_attention[0, 1]
    )
    assert torch.equal(row.attention["guided_audio_attention"], sample.guided_audio_attention[0])
    assert row.box == pytest.approx([0.5, 0.6, 0.7, 0.8])
    boxes[0, 4] = torch.nan
    assert sheet_row(inputs, sample, "bell", boxes=boxes).box is None


def test_row_needs_both_modalities():
    inputs = make_inputs()
    del inputs["audio"]
    with pytest.raises(ValueError, match=r"\['audio'\]"):
        sheet_row(inputs, make_sample(), "bell")


def test_sheet_grows_with_rows_and_columns(tmp_path):
    rows = [sheet_row(make_inputs(), make_sample(), f"kind {i}") for i in range(3)]
    attention_sheet(rows, tmp_path / "new" / "three.png", MELS, duration=1.0)
    attention_sheet(rows[:1], tmp_path / "new" / "one.png", MELS)
    bare = [sheet_row(make_inputs(), make_sample(predicted=False), "kind")]
    attention_sheet(bare, tmp_path / "new" / "four_columns.png", MELS)
    shapes = {path.stem: cv2.imread(str(path)).shape for path in (tmp_path / "new").iterdir()}
    assert set(shapes) == {"three", "one", "four_columns"}  # no temporary file is left
    assert shapes["three"][0] > 2 * shapes["one"][0]
    assert shapes["three"][1] == shapes["one"][1] > shapes["four_columns"][1]


def test_true_box_is_drawn_where_it_is(tmp_path):
    def green(box):
        row = SheetRow("kind", np.full((64, 64, 3), 90, np.uint8), np.zeros((32, 50)), box=box)
        attention_sheet([row], tmp_path / "sheet.png", MELS)
        picture = cv2.imread(str(tmp_path / "sheet.png")).astype(int)
        strong = (picture[..., 1] > 200) & (picture[..., 2] < 120) & (picture[..., 0] < 200)
        return np.argwhere(strong)

    assert len(green(None)) == 0
    left, right = green([0.1, 0.6, 0.3, 0.9]), green([0.6, 0.1, 0.9, 0.3])
    assert left[:, 1].max() < right[:, 1].min()
    assert left[:, 0].min() > right[:, 0].max()


def test_frequency_axis():
    assert _mel_position(MELS[0].item(), MELS) == pytest.approx(0.5 / 32)
    assert _mel_position(MELS[31].item(), MELS) == pytest.approx(31.5 / 32)
    halfway = (MELS[3] + MELS[4]).item() / 2
    assert _mel_position(halfway, MELS) == pytest.approx(4 / 32)
    assert _mel_position(1.0, MELS) == 0.0
    assert _mel_position(1e6, MELS) == 1.0


def test_failed_drawing_leaves_the_old_sheet(tmp_path):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")
    row = sheet_row(make_inputs(), make_sample(), "kind")
    row.attention["guided_visual_attention"] = torch.full((4, 4), torch.nan)
    with pytest.raises(ValueError, match="16 values that are not finite"):
        attention_sheet([row], path, MELS)
    with pytest.raises(ValueError, match="no rows"):
        attention_sheet([], path, MELS)
    with pytest.raises(ValueError, match="not supported"):
        attention_sheet([sheet_row(make_inputs(), make_sample(), "k")], tmp_path / "a.xyz", MELS)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]
