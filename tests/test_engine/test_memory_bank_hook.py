import pytest
from mmengine.dataset import RepeatDataset

from cmac_mm.datasets import AudioVisualDataset
from cmac_mm.engine.hooks.common import need_list


def test_the_list_is_found_through_wrappers(tmp_path):
    ann_file = tmp_path / "list.txt"
    ann_file.write_text("a.mp4 3\n")
    dataset = AudioVisualDataset(str(ann_file), [])
    assert need_list(RepeatDataset(dataset, 3), "MemoryBankHook") is dataset
    with pytest.raises(ValueError, match=r"needs an AudioVisualDataset .* found list"):
        need_list([1, 2], "MemoryBankHook")
