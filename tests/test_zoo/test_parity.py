"""Released networks against what their files' keys say, written out in torch.nn.functional."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from helpers import peer_nets
from helpers.peer_files import write_thin
from helpers.peer_nets import sub
from helpers.thin_released import thin_config
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from cmac_mm.utils import put_weights
from cmac_mm.zoo import read_released

BASE = 8
caffe2 = partial(peer_nets.r2plus1d, eps=1e-3)
# Where its parts are in a file, and what they compute.
VIDEO = dict(
    torchvision=("", peer_nets.r2plus1d),
    xdc=("", caffe2),
    avid=("video_model.", peer_nets.avid_video),
    gdt=("video_network.base.", peer_nets.r2plus1d),
    selavi=("video_network.base.", peer_nets.r2plus1d),
)
AUDIO = dict(
    avid=("audio_model.", lambda x, w, t: peer_nets.avid_audio(x.mT, w, t).mT),
    gdt=("audio_network.base.", peer_nets.resnet9),
    selavi=("audio_network.base.", peer_nets.resnet9),
)
HEADS = dict(
    avid=(("video_proj.", "audio_proj."), peer_nets.avid_head, lambda x: x.flatten(2).amax(2)),
    gdt=(("mlp_v.", "mlp_a."), peer_nets.gdt_head, lambda x: x.flatten(2).mean(2)),
)


@pytest.fixture(params=list(VIDEO))
def released(request, tmp_path):
    """A source, the weights of its file, and our model with them, in float64."""
    init_default_scope("mmaction")
    weights = write_thin(request.param, tmp_path / "peer.pth", BASE)
    _, cfg, found = read_released(tmp_path / "peer.pth", cfg=thin_config(request.param, BASE))
    model = MODELS.build(cfg.model)
    if cfg.model.type == "FeatureExtractor":
        put_weights(model.backbone, found, "peer.pth", "visual_backbone.")
    else:
        put_weights(model, found, "peer.pth")
    return request.param, weights, model.double()


def inputs():
    generator = torch.Generator().manual_seed(1)
    clip = torch.randn(2, 3, 8, 48, 32, generator=generator, dtype=torch.float64)
    sound = torch.randn(2, 1, 65, 50, generator=generator, dtype=torch.float64)
    return clip, sound


def statistics(module, weights):
    """Running statistics of a module, and those under the same keys of the file."""
    return [(value, weights[k]) for k, value in module.state_dict().items() if "running_" in k]


close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("train", [False, True])
def test_encoders(released, train):
    source, weights, model = released
    model.train(train)
    clip, sound = inputs()
    prefix, net = VIDEO[source]
    part = sub(weights, prefix)
    encoder = getattr(model, "visual_backbone", None) or model.backbone
    with torch.no_grad():
        close(encoder(clip), net(clip, part, train))
    for ours, theirs in statistics(encoder, part):
        close(ours, theirs)
    if source in AUDIO:
        prefix, net = AUDIO[source]
        part = sub(weights, prefix)
        with torch.no_grad():
            close(model.audio_backbone(sound), net(sound, part, train))
        for ours, theirs in statistics(model.audio_backbone, part):
            close(ours, theirs)


def test_embeddings_and_maps(released):
    """Each position by itself: head, unit length, cosine with the other's embedding."""
    source, weights, model = released
    clip, sound = inputs()
    model.eval()
    if source not in AUDIO:
        want = VIDEO[source][1](clip, weights, False).flatten(2).mean(2)
        with torch.no_grad():
            torch.testing.assert_close(model.extract(dict(imgs=clip)), want.float())
        return
    maps = {
        "visual": VIDEO[source][1](clip, sub(weights, VIDEO[source][0]), False),
        "audio": AUDIO[source][1](sound, sub(weights, AUDIO[source][0]), False),
    }
    samples = model.predict(dict(imgs=clip, audio=sound))
    if source not in HEADS:
        assert "visual_embedding" not in samples[0] and "visual_feature" in samples[0]
        return
    prefixes, head, pool = HEADS[source]
    heads = dict(zip(maps, [sub(weights, prefix) for prefix in prefixes], strict=True))
    vectors = {name: head(pool(x), heads[name], False) for name, x in maps.items()}
    for name, other in (("visual", "audio"), ("audio", "visual")):
        for index, sample in enumerate(samples):
            feature = pool(maps[name])[index].float()
            torch.testing.assert_close(sample.get(f"{name}_feature"), feature)
            embedding = sample.get(f"{name}_embedding")
            torch.testing.assert_close(embedding, vectors[name][index].float())
            got = sample.get(f"guided_{name}_attention")[0]
            assert got.shape == maps[name].shape[2:]
            for place in torch.cartesian_prod(*(torch.arange(n) for n in got.shape)).tolist():
                row = maps[name][(index, slice(None), *place)][None]
                cosine = F.cosine_similarity(
                    head(row, heads[name], False)[0], vectors[other][index], 0
                )
                assert abs(float(got[tuple(place)]) - (1 + float(cosine)) / 2) < 1e-5


def test_a_projection_in_training(released):
    source, weights, model = released
    if source not in HEADS:
        return
    prefixes, head, _ = HEADS[source]
    model.train()
    x = torch.randn(6, 8 * BASE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for name, prefix in zip(("visual", "audio"), prefixes, strict=True):
        got = F.normalize(model.projections[name](x), dim=1)
        close(got, head(x, sub(weights, prefix), True))
