import pytest
from mmengine.dataset import RepeatDataset

from cmac_mm.datasets import AudioVisualDataset
from cmac_mm.engine.hooks.common import need_list
from cmac_mm.utils import list_digest


def test_digest_is_of_the_paths_in_their_order():
    digests = {
        list_digest(paths) for paths in (["a", "b"], ["b", "a"], ["a"], ["ab"], ["a", "b c"])
    }
    assert len(digests) == 5 and all(len(digest) == 32 for digest in digests)
    assert list_digest(["a", "b"]) == list_digest(iter(["a", "b"]))
    assert list_digest(["\udcff.mp4"]) != list_digest(["\udcfe.mp4"])


def test_paths_are_those_of_the_list(tmp_path):
    """Without the prefix, whatever the labels are, also of rows that a subset leaves out."""
    ann_file = tmp_path / "list.txt"
    ann_file.write_text("a/x y.mp4 3\n\nb.mp4 1\n/c.mp4 0\n")
    dataset = AudioVisualDataset(str(ann_file), [], dict(video="some/where"), indices=2)
    assert len(dataset) == 2
    assert dataset.list_paths() == ["a/x y.mp4", "b.mp4", "/c.mp4"]
    assert need_list(RepeatDataset(dataset, 3), "MemoryBankHook") is dataset
    with pytest.raises(ValueError, match=r"needs an AudioVisualDataset .* found list"):
        need_list([1, 2], "MemoryBankHook")
