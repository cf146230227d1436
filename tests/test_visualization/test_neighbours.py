import numpy as np
import pytest
from PIL import Image

from cmac_mm.visualization import NeighbourRow, neighbour_sheet


def picture(level):
    return np.full((48, 64, 3), level, np.uint8)


def row(neighbours):
    cells = [(picture(60 * i), f"class {i}", i % 2 == 0) for i in range(neighbours)]
    return NeighbourRow(picture(128), "class 0", cells, [0.9 - 0.1 * i for i in range(neighbours)])


def count(image, colour):
    return int((np.abs(image.astype(int) - colour).sum(axis=2) < 12).sum())


def test_sheet_frames_hits_green_and_misses_red(tmp_path):
    green, red = (26, 152, 80), (215, 48, 39)
    areas = {}
    for neighbours in (1, 2, 3):
        path = tmp_path / f"{neighbours}.png"
        neighbour_sheet([row(neighbours)] * 2, path)
        image = np.asarray(Image.open(path).convert("RGB"))
        areas[neighbours] = (count(image, green), count(image, red))
    assert areas[1][0] > 500 and areas[1][1] == 0
    assert areas[2][0] == pytest.approx(areas[1][0], rel=0.2) and areas[2][1] > 500
    assert areas[3][0] == pytest.approx(2 * areas[1][0], rel=0.2)
    assert list(tmp_path.glob(".*")) == []


def test_bad_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one or more, of equal length"):
        neighbour_sheet([], tmp_path / "x.png")
    with pytest.raises(ValueError, match="one or more, of equal length"):
        neighbour_sheet([row(1), row(2)], tmp_path / "x.png")
