"""XDC in plain PyTorch: one round on a synthetic batch, clustering included. No config."""

import torch
from torch.nn.functional import cross_entropy

from cmac_mm.mining import FeatureSource, cluster
from cmac_mm.models import AudioResNet, R2Plus1D
from cmac_mm.models.layers import global_average_pool

torch.manual_seed(0)
NUM_CLUSTERS = 4

# The encoders, an eighth as wide as in the paper.
encoders = {
    "visual": R2Plus1D(variant="caffe2", base_channels=8),
    "audio": AudioResNet(depth=18, base_channels=8),
}

# Sixteen videos: clips of 8 frames, and log-mel spectrograms of 40 bands and 100 frames.
clips = {"visual": torch.randn(16, 3, 8, 32, 32), "audio": torch.randn(16, 1, 40, 100)}


def features(name: str, rows: torch.Tensor) -> torch.Tensor:
    """Features of some videos `(B, 64)`: the average of the last feature map."""
    return global_average_pool(encoders[name](clips[name][rows]))


# 1. Cluster the features of all videos, each modality on its own.
labels = {}
for name, encoder in encoders.items():
    encoder.eval()
    with torch.no_grad():
        source = FeatureSource([features(name, torch.arange(16)).numpy()])
    labels[name] = torch.from_numpy(cluster(source, NUM_CLUSTERS, seed=0).labels).long()
    encoder.train()

# 2. Train with new classification layers. Who learns from whose clusters is the method:
supervision = {"visual": "audio", "audio": "visual"}  # XDC; SDC is each from its own
layers = {name: torch.nn.Linear(64, NUM_CLUSTERS) for name in encoders}
weights = torch.nn.ModuleList([*encoders.values(), *layers.values()]).parameters()
optimizer = torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=1e-5)

rows = torch.randperm(16)[:8]  # the batch of one step
loss = torch.zeros(())
for name, teacher in supervision.items():
    scores = layers[name](features(name, rows))
    loss = loss + cross_entropy(scores, labels[teacher][rows])

optimizer.zero_grad()
loss.backward()
optimizer.step()
sizes = {name: found.bincount(minlength=NUM_CLUSTERS).tolist() for name, found in labels.items()}
print(f"loss {loss.item():.3f}, videos in each cluster: {sizes}")
