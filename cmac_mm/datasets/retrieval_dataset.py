"""Gallery and queries of a retrieval test as one dataset."""

from mmaction.registry import DATASETS
from mmengine.dataset import ConcatDataset


@DATASETS.register_module()
class RetrievalDataset(ConcatDataset):
    """Dataset of the gallery's samples followed by the queries'.

    Each sample says in its meta information which it is (``in_gallery``), and its ``sample_idx``
    is its row in both together. For :class:`cmac_mm.evaluation.ClassRetrieval`.

    Args:
        gallery (dict): Config of the data set to be searched, e.g. the training videos.
        query (dict): Config of the data set that searches, e.g. the test videos.
    """

    def __init__(self, gallery: dict, query: dict) -> None:
        super().__init__([DATASETS.build(gallery), DATASETS.build(query)])

    def __getitem__(self, index: int) -> dict:
        """Load a sample from its own dataset, marked as gallery or query."""
        sample = super().__getitem__(index)
        in_gallery = index < len(self.datasets[0])
        sample["data_samples"].set_metainfo(dict(sample_idx=index, in_gallery=in_gallery))
        return sample
