import numpy as np
import pytest
from PIL import Image

from cmac_mm.visualization import AgreementCell, AgreementRow, agreement_sheet, middle_frame


def picture(level):
    return np.full((48, 64, 3), level, np.uint8)


def cell(right):
    return AgreementCell(picture(90), "a class", 0.8, 0.1, right)


def count(path, colour):
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(image - colour).sum(axis=2) < 12).sum())


def test_sheet_frames_right_green_and_wrong_red(tmp_path):
    green, red = (26, 152, 80), (215, 48, 39)
    row = AgreementRow(picture(40), "query", [cell(True), cell(True)], [cell(False)])
    few = AgreementRow(picture(40), "query", [cell(None)], [])
    for name, rows in (("one", [row]), ("two", [row, row]), ("mixed", [row, few])):
        agreement_sheet(rows, tmp_path / f"{name}.png")
    one, two, mixed = (tmp_path / f"{name}.png" for name in ("one", "two", "mixed"))
    assert count(one, green) == pytest.approx(2 * count(one, red), rel=0.2)
    assert count(two, red) == pytest.approx(2 * count(one, red), rel=0.2)
    assert count(mixed, red) == pytest.approx(count(one, red), rel=0.2)
    assert list(tmp_path.glob(".*")) == []
    with pytest.raises(ValueError, match="at least one reference"):
        agreement_sheet([], tmp_path / "none.png")


def test_middle_frame(media_dir):
    path = next(path for path in sorted(media_dir.rglob("*.avi")) if "nasty" not in path.parts)
    frame = middle_frame(path, short_side=72)
    assert frame.dtype == np.uint8 and min(frame.shape[:2]) == 72 and frame.std() > 5
