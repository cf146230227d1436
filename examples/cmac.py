"""CMAC in plain PyTorch: build the parts, one step on a synthetic batch. No config."""

import torch
from torch.nn.functional import normalize

from cmac_mm.models import AttentionConsistencyLoss, AudioResNet, CMACNeck, KeyQueue, R2Plus1D
from cmac_mm.models.heads.projection import ProjectionHead
from cmac_mm.models.heads.saliency import SaliencyHead
from cmac_mm.models.layers import global_average_pool
from cmac_mm.models.losses.moco_queue_loss import queue_contrast
from cmac_mm.models.selfsup import MomentumEncoder

torch.manual_seed(0)

# The parts, an eighth as wide as in the paper.
encoders = {"visual": R2Plus1D(base_channels=8), "audio": AudioResNet(base_channels=8)}
neck = CMACNeck(visual_channels=64, audio_channels=64, channels=64, norm="cosine", num_scales=2)
projections = {name: ProjectionHead(64, 64, 32) for name in encoders}
saliency = {"visual": SaliencyHead(64, 16, num_axes=3), "audio": SaliencyHead(64, 16, num_axes=2)}
key_encoders, queues = {}, {}
for name in encoders:
    originals = (encoders[name], neck.branch(name), projections[name])
    key_encoders[name] = MomentumEncoder(*originals, momentum=0.999, shuffle_bn=False)
    queues[name] = KeyQueue(size=1000, channels=32)
consistency = AttentionConsistencyLoss(loss_weight=1.5)

parts = [neck, *encoders.values(), *projections.values(), *saliency.values()]
weights = torch.nn.ModuleList(parts).parameters()
optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9, weight_decay=1e-5)

# Four videos: clips of 16 frames, and log-mel spectrograms of 64 bands and 100 frames.
rows = torch.arange(4)  # which videos they are: row numbers in the list of training videos
clips = {"visual": torch.randn(4, 3, 16, 64, 64), "audio": torch.randn(4, 1, 64, 100)}

maps = {name: encoder(clips[name]) for name, encoder in encoders.items()}
filters = neck(maps)  # the filters kappa (eq. 3) and the attention that they guide (eq. 4)
queries = {name: normalize(projections[name](x), dim=1) for name, x in filters.kernels.items()}
with torch.no_grad():
    keys = {}
    for name, encoder in key_encoders.items():
        kernel = global_average_pool(encoder.filter_branch(encoder.backbone(clips[name])))
        keys[name] = normalize(encoder.projection(kernel), dim=1)

loss = torch.zeros(())
for name, other in (("visual", "audio"), ("audio", "visual")):
    negatives = [(queues[n].keys, queues[n].sample_idx) for n in (other, name)]
    contrast, _ = queue_contrast(queries[name], keys[other], negatives, rows, 0.07)  # eq. 7
    predicted = saliency[name](maps[name])  # eq. 5
    loss = loss + contrast + consistency(predicted, filters.guided[name])  # eq. 6 and 8

optimizer.zero_grad()
loss.backward()
optimizer.step()
for name, encoder in key_encoders.items():
    encoder.follow((encoders[name], neck.branch(name), projections[name]))
    queues[name].enqueue(keys[name], rows)
print(f"loss {loss.item():.3f}, attention over the frames: {tuple(filters.guided['visual'].shape)}")
