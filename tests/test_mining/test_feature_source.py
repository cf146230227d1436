"""Rows of features, from memory and from files."""

from __future__ import annotations

import numpy as np
import pytest

from cmac_mm.mining import FeatureSource


def arrays(size=3000):
    generator = np.random.default_rng(0)
    return [generator.standard_normal((size, dim)).astype(np.float32) for dim in (5, 3)]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("rows", [None, np.array([7, 3, 2999, 3, 0])])
@pytest.mark.parametrize("in_file", [True, False])
def test_reads_what_a_loop_reads(tmp_path, normalize, rows, in_file):
    parts = arrays()
    source_arrays = parts
    if in_file:
        for i, part in enumerate(parts):
            np.save(tmp_path / f"{i}.npy", part)
        source_arrays = [np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(2)]
    source = FeatureSource(source_arrays, rows, normalize)
    expected = []
    for i in range(3000) if rows is None else rows:
        row = [part[i] / (np.linalg.norm(part[i]) if normalize else 1) for part in parts]
        expected.append(np.concatenate(row))
    assert len(source) == len(expected) and source.dim == 8
    last = len(source) - 1
    for index in (slice(0, 2), slice(1, None), slice(2, 2), np.array([last, 0]), slice(None)):
        found = source.read(index)
        np.testing.assert_allclose(found, np.array(expected)[index].reshape(-1, 8), rtol=1e-6)
        assert found.dtype == np.float32
    found[:] = 0  # a copy: what was given stays
    assert source.read(slice(0, 1)).any()


def test_single_array_of_another_precision_and_rows_of_zeros():
    part = np.array([[3, 4], [0, 0]], np.float16)
    assert FeatureSource([part]).read(slice(0, 2)) == pytest.approx(np.array([[0.6, 0.8], [0, 0]]))


def test_bad_arrays_are_refused(tmp_path):
    a, b = arrays(10)
    with pytest.raises(ValueError, match=r"of one N, got shapes \[\(10, 5\), \(9, 3\)\]"):
        FeatureSource([a, b[:9]])
    with pytest.raises(ValueError, match=r"of one N, got shapes \[\(10,\)\]"):
        FeatureSource([a[:, 0]])
    with pytest.raises(ValueError, match=r"got shapes \[\]"):
        FeatureSource([])
    with pytest.raises(ValueError, match="expected floating point, got int64"):
        FeatureSource([a, b.astype(np.int64)])
    with pytest.raises(ValueError, match="rows must be from 0 to 9, got -1 to 3"):
        FeatureSource([a], rows=np.array([3, -1]))
    with pytest.raises(ValueError, match="rows must be integers"):
        FeatureSource([a], rows=np.ones(10, bool))


def test_a_value_that_is_not_finite_is_named(tmp_path):
    a, b = arrays()
    b[2500, 1], b[2700, 0] = np.inf, np.nan
    np.save(tmp_path / "b.npy", b)
    source = FeatureSource([a, np.load(tmp_path / "b.npy", mmap_mode="r")], np.arange(1000, 3000))
    source.read(slice(0, 1500))
    with pytest.raises(ValueError, match=r"b\.npy: row 2500 holds .* 2 of the 2000 rows"):
        source.read(slice(0, 2000))
    with pytest.raises(ValueError, match=r"b\.npy: row 2700 holds"):
        source.read(np.array([0, 1700]))
    with pytest.raises(ValueError, match="memory: row 2500 holds"):
        FeatureSource([b]).read(slice(2000, 3000))
