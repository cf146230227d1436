import numpy as np
import pytest
from PIL import Image

from cmac_mm.visualization import confusion_picture


def test_shares_are_by_row_and_empty_rows_grey(tmp_path):
    # Classes 0 and 1 right and wrong by turns, class 2 without samples.
    confusion_picture(
        np.array([[4, 0, 0], [9, 0, 0], [0, 0, 0]]), "abc", "title", tmp_path / "a.png"
    )
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colours = {
        tuple(colour): count
        for colour, count in zip(*np.unique(pixels, axis=0, return_counts=True), strict=True)
    }
    # Full rows are the darkest blue in both cells, whatever their counts; a third of the matrix is
    # light grey.
    blue, grey, white = (
        colours.get(c, 0) for c in ((8, 48, 107), (211, 211, 211), (247, 251, 255))
    )
    assert grey == pytest.approx(1.5 * blue, rel=0.1)
    assert white == pytest.approx(2 * blue, rel=0.1)
    assert not list(tmp_path.glob(".*"))


def test_fifty_classes_and_wrong_shapes(tmp_path):
    confusion_picture(
        np.eye(50, dtype=int) * 40, [f"class {i}" for i in range(50)], "50", tmp_path / "b.png"
    )
    with Image.open(tmp_path / "b.png") as picture:
        assert 1000 < min(picture.size) < 3000
    with pytest.raises(ValueError, match=r"expected \(3, 3\) for 3 classes, got \(2, 2\)"):
        confusion_picture(np.eye(2, dtype=int), "abc", "", tmp_path / "c.png")
