"""Buffers with a row for each video of the training list."""

import torch
from torch import Tensor, nn

from ...utils import refuse_other_list
from ...utils.dist import RankBatch

_DIGEST_BYTES = 32


class ListBound(nn.Module):
    """Mixin of models with buffers that belong to one list of training videos.

    The buffers named in ``row_buffers`` have a row for each video, -1 where nothing is known. They
    get their size from :meth:`bind_list`, which a hook calls before training, or from the
    checkpoint; a checkpoint of another list is refused.

    Attributes:
        row_buffers (tuple[str, ...]): Names of the buffers; set before any is looked at.
        bound_name (str): What errors call them, in the plural.
    """

    row_buffers: tuple[str, ...]
    bound_name: str

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.list_digest: Tensor
        self.register_buffer("list_digest", torch.zeros(_DIGEST_BYTES, dtype=torch.uint8))

    @property
    def num_videos(self) -> int:
        """Number of rows of the buffers; 0 before it is known."""
        return len(getattr(self, self.row_buffers[0]))

    def bind_list(self, num_videos: int, digest: bytes, seed: int) -> None:
        """Reset the buffers for a list of videos.

        Args:
            num_videos (int): Number of videos.
            digest (bytes): 32 bytes that tell the list from others. A checkpoint of another list
                is refused from now on.
            seed (int): For what is drawn at random, the same on all ranks.
        """
        for name in self.row_buffers:
            self._resize(name, num_videos)
        self.list_digest.copy_(torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def _resize(self, name: str, num_videos: int) -> None:
        buffer = getattr(self, name)
        setattr(self, name, buffer.new_full((num_videos, *buffer.shape[1:]), -1))

    def _check_rows(self, batch: RankBatch) -> None:
        """Check that the batch's videos have rows.

        Raises:
            ValueError: If one has none.
        """
        last = max(batch.numbers)
        if last >= self.num_videos:
            raise ValueError(
                f"sample_idx {last} is outside the {self.bound_name} of {self.num_videos} videos"
            )

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """See that stored rows belong to the list, and take their number where none is set.

        Raises:
            RuntimeError: If they belong to another list.
        """
        stored = {
            name: state_dict[prefix + name]
            for name in self.row_buffers
            if prefix + name in state_dict
        }
        if stored:
            total = len(next(iter(stored.values())))
            refuse_other_list(
                self.bound_name,
                (total, bytes(state_dict[f"{prefix}list_digest"].tolist())),
                (self.num_videos, bytes(self.list_digest.tolist())),
            )
            for name in stored:
                if len(getattr(self, name)) == 0:
                    self._resize(name, total)
        super()._load_from_state_dict(state_dict, prefix, *args)
