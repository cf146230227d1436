"""Contrastive loss against queues of keys (CMAC, eq. 7; MoCo, He et al. 2020)."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor

from ...utils.dist import RankBatch
from ..memories import Keys


def queue_contrast(
    query: Tensor,
    positive: Tensor,
    negatives: Sequence[tuple[Tensor, Tensor]],
    sample_idx: Tensor,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Compute the contrastive loss of queries against one positive and all negatives (CMAC, eq. 7).

    A negative that comes from the query's own video (same row number) does not count.

    Args:
        query (Tensor): Normalised queries `(B, D)`.
        positive (Tensor): Normalised positive keys `(B, D)`, row i for query i.
        negatives (Sequence[tuple[Tensor, Tensor]]): Sets of normalised keys `(K, D)`, each with
            the row numbers `(K,)` of the videos they come from.
        sample_idx (Tensor): Row numbers of the queries' videos `(B,)`.
        temperature (float): tau.

    Returns:
        tuple[Tensor, Tensor]: Loss and top-1 accuracy (share of queries closer to their positive
        than to every negative; the latter without gradient), scalars in float32 (float64 for
        float64 input).
    """
    with torch.autocast(query.device.type, enabled=False):
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        query, positive = query.to(dtype), positive.to(dtype)
        logits = [(query * positive).sum(dim=1, keepdim=True)]
        for keys, key_idx in negatives:
            own_video = sample_idx[:, None] == key_idx[None, :]
            logits.append((query @ keys.to(dtype).T).masked_fill(own_video, -torch.inf))
        scores = torch.cat(logits, dim=1) / temperature
        # The positive is column 0.
        loss = (scores.logsumexp(dim=1) - scores[:, 0]).mean()
        with torch.no_grad():
            closest = F.pad(scores[:, 1:], (0, 1), value=-torch.inf).amax(dim=1)
            top1 = (scores[:, 0] > closest).to(dtype).mean()
    return loss, top1


@MODELS.register_module()
class MoCoQueueLoss(nn.Module):
    """Cross-modal contrastive loss with within-modal negatives (CMAC, eq. 7).

    Args:
        temperature (float): tau. Defaults to 0.07.
        within_modal_negatives (bool): Also push a query from other videos' keys of its own
            modality: the second sum of eq. 7, table 3's "w/i Neg". Defaults to True.
        within_modal_positives (bool): Also pull a query to the key that a second clip of its video
            has in its own modality: table 3's "w/i Pos"; needs two clips a sample. Negatives of
            such a positive are of its own modality in any case: against the other's alone it would
            be enough to tell picture from sound. Defaults to False.
        in_batch_negatives (bool): Count the batch's own keys of other videos as negatives, beside
            the queue's. Off in the paper; short runs need it. Defaults to False.

    Raises:
        ValueError: If ``temperature`` is not positive.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        within_modal_negatives: bool = True,
        within_modal_positives: bool = False,
        in_batch_negatives: bool = False,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature
        self.within_modal_negatives = within_modal_negatives
        self.within_modal_positives = within_modal_positives
        self.in_batch_negatives = in_batch_negatives

    def forward(
        self, queries: dict[str, Tensor], keys: Keys, batch: RankBatch
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the losses of all directions; see :func:`queue_contrast`.

        Args:
            queries (dict[str, Tensor]): Normalised embeddings `(B, D)` of one or two modalities.
            keys (Keys): What they are compared with; ``second`` where there are positives of the
                queries' own modality.
            batch (RankBatch): The batch.

        Returns:
            tuple[dict[str, Tensor], dict[str, Tensor]]: The losses, and what is logged:
            ``top1_visual_to_audio`` and so on.
        """
        losses, logs = {}, {}
        for name, query in queries.items():
            others = [other for other in queries if other != name]
            positives = {other: keys.own[other] for other in others}
            if keys.second:
                positives[name] = keys.second[name]
            for source, positive in positives.items():
                pushed = [*others, name] if self.within_modal_negatives else [source]
                negatives = [keys.past[other] for other in pushed if other in keys.past]
                if self.in_batch_negatives:
                    negatives += [(keys.batch[other], batch.all_rows) for other in pushed]
                direction = f"{name}_to_{source}"
                losses[f"loss_{direction}"], logs[f"top1_{direction}"] = queue_contrast(
                    query, positive, negatives, batch.rows, self.temperature
                )
        return losses, logs
