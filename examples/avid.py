"""AVID and CMA in plain PyTorch: build the parts, one step on a synthetic batch. No config."""

import torch
from torch.nn.functional import normalize

from cmac_mm.mining import mine_positives
from cmac_mm.models import AVIDAudioNet, MemoryBank, NCELoss, R2Plus1D
from cmac_mm.models.heads.projection import ProjectionHead
from cmac_mm.models.memories import draw_negatives

torch.manual_seed(0)

# The parts, an eighth as wide as in the paper; 500 training videos.
encoders = {
    "visual": R2Plus1D(variant="avid", base_channels=8),
    "audio": AVIDAudioNet(base_channels=8),
}
projections = {name: ProjectionHead(64, 64, 32, num_layers=3) for name in encoders}
banks = {name: MemoryBank(size=500, channels=32, momentum=0.5) for name in encoders}
nce = NCELoss(temperature=0.07)  # sets Z in the first step

parts = torch.nn.ModuleList([*encoders.values(), *projections.values()])
optimizer = torch.optim.Adam(parts.parameters(), lr=2e-4, weight_decay=1e-5)

# Four videos: clips of 8 frames, and spectrograms of 257 bands and 200 frames.
rows = torch.tensor([3, 141, 59, 265])  # which of the 500 they are
clips = {"visual": torch.randn(4, 3, 8, 64, 64), "audio": torch.randn(4, 1, 257, 200)}

# CMA, between epochs: the videos that agree in both modalities (eq. 6 and 7).
positives = mine_positives(banks["visual"].entries, banks["audio"].entries, num_positives=32)[rows]

queries = {}
for name, encoder in encoders.items():
    pooled = encoder(clips[name]).flatten(2).amax(dim=2)
    queries[name] = normalize(projections[name](pooled), dim=1)
negatives = draw_negatives(rows, size=500, num=128, positives=positives)

cross, agreement = [], []
for name, other in (("visual", "audio"), ("audio", "visual")):
    own_row = banks[other].rows(rows[:, None])
    loss, _ = nce(queries[name], own_row, banks[other].rows(negatives))  # Cross-AVID, eq. 4
    cross.append(loss)
    bank = banks[name]
    loss, _ = nce(queries[name], bank.rows(positives), bank.rows(negatives[:, :64]))
    agreement.append(loss)
loss = (torch.stack(cross).mean() + torch.stack(agreement).mean()) / 2  # eq. 9, lambda 1

optimizer.zero_grad()
loss.backward()
optimizer.step()
for name, bank in banks.items():
    bank.update(rows, queries[name].detach())
print(f"loss {loss.item():.3f}, Z {nce.z.item():.2f}")
