"""Classification layer that is reset in each round."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ClusterClassifier(nn.Module):
    """Linear layer that classifies the cluster of a clip.

    Args:
        in_channels (int): Length of the features.
        num_clusters (int): k.
    """

    def __init__(self, in_channels: int, num_clusters: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_clusters, in_channels))
        self.bias = nn.Parameter(torch.empty(num_clusters))
        self.reset(torch.Generator().manual_seed(0))

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Reset the weights to N(0, 0.01), as in DeepCluster (Caron et al. 2018); biases to 0.

        Args:
            generator (torch.Generator): On the CPU, so that all devices draw the same.
        """
        self.weight.copy_(0.01 * torch.randn(self.weight.shape, generator=generator))
        self.bias.zero_()

    def forward(
        self, features: Tensor, labels: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute cross-entropy and accuracy, in float32 also under mixed precision.

        Args:
            features (Tensor): Features `(B, C)`.
            labels (Tensor): Clusters `(B,)`; samples with -1 do not count.
            weights (Tensor, optional): What each sample counts in the loss `(B,)`. Defaults to
                None, 1.

        Returns:
            tuple[Tensor, Tensor]: The loss, its sum over the samples that count divided by B (so
            that batches of different ranks average as one batch would), and the share of the
            samples that count whose cluster scores highest. Both are scalars.
        """
        with torch.autocast(features.device.type, enabled=False):
            logits = F.linear(features.to(self.weight.dtype), self.weight, self.bias).float()
            if weights is None:
                loss = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
            else:
                loss = weights @ F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")
            loss = loss / len(labels)
        hits = (logits.detach().argmax(dim=1) == labels).sum()
        return loss, hits / (labels >= 0).sum().clamp_min(1)
