"""Linear probes on frozen stages."""

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

import cmac_mm


def samples(labels):
    return [ActionDataSample().set_gt_label(label) for label in labels]


def build(name, **backbone):
    init_default_scope("mmaction")
    cfg = cmac_mm.load_config(f"cmac_mm::linear_probe/{name}")
    cfg.model.backbone.update(base_channels=4, stage_blocks=(1, 1, 1, 1), **backbone)
    cfg.model.cls_head.update(num_classes=3, in_channels=(4, 8, 16, 32))
    return MODELS.build(cfg.model)


AVID = "avid_r2plus1d-18_8xb16-8x224-12e_k400.py"
CMAC = "cmac_r2plus1d-18_8xb16-32x128-12e_k400.py"


def test_papers_sizes():
    head = MODELS.build(dict(type="MultiStageLinearHead", num_classes=400))
    assert [probe[3].in_features for probe in head.probes] == [9216, 8192, 9216, 8192]
    maps = ((64, 8, 56), (128, 4, 28), (256, 2, 14), (512, 1, 7))
    scores = head(tuple(torch.randn(2, c, t, s, s) for c, t, s in maps))
    assert [score.shape for score in scores] == [(2, 400)] * 4


@pytest.mark.parametrize("name", [AVID, CMAC])
def test_scores_and_losses_are_those_of_separate_probes(name):
    torch.manual_seed(0)
    model = build(name).eval()
    clips = torch.randn(2, 3, 3, 8, 64, 64)  # 2 videos of 3 clips
    labels = [2, 0]
    losses = model(clips, samples(labels), mode="loss")
    with torch.no_grad():
        predictions = model(clips, samples(labels), mode="predict")
        maps = model.backbone(clips.flatten(0, 1))
    for stage, (feature_map, probe) in enumerate(zip(maps, model.cls_head.probes, strict=True)):
        size = probe[0].output_size
        expected, entropy = [], []
        for clip in range(6):  # one by one, with the plain definition of each step
            pooled = torch.nn.functional.adaptive_max_pool3d(feature_map[clip], size).flatten()
            normed = pooled / (1 + 1e-5) ** 0.5  # fresh statistics
            logits = probe[3].weight @ normed + probe[3].bias
            expected.append(logits.softmax(0))
            entropy.append(-logits.log_softmax(0)[labels[clip // 3]])
        for video in range(2):
            torch.testing.assert_close(
                predictions[video].block_scores[stage],
                torch.stack(expected[video * 3 : video * 3 + 3]),
            )
        loss = losses[f"loss_block{stage + 1}"]
        torch.testing.assert_close(loss, torch.stack(entropy).mean())


def test_only_the_probes_change():
    torch.manual_seed(0)
    model = build(AVID)
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1))
    model.train()
    assert model.cls_head.training and not model.backbone.training
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clips = torch.randint(256, (4, 3, 8, 32, 32), dtype=torch.uint8)
    data = dict(inputs=dict(imgs=clips), data_samples=samples([0, 1, 2, 1]))
    log = model.train_step(data, optimizer)
    assert {f"loss_block{k}" for k in range(1, 5)} <= log.keys()
    changed = {key for key, v in model.state_dict().items() if not torch.equal(v, before[key])}
    assert not [key for key in changed if key.startswith("backbone.")]
    assert {f"cls_head.probes.{k}.3.weight" for k in range(4)} <= changed
    assert {f"cls_head.probes.{k}.2.running_mean" for k in range(4)} <= changed


def test_probes_do_not_disturb_each_other():
    """The fourth block learns the same with and without the other three."""

    def learn(stages):
        torch.manual_seed(1)
        maps = [torch.randn(8, c, 2, 8, 8) for c in (4, 8, 16, 32)]
        probes = MODELS.build(
            dict(type="MultiStageLinearHead", num_classes=3, in_channels=(4, 8, 16, 32))
        )
        used = [maps[stage] for stage in stages]
        probes.in_channels = tuple(feature_map.shape[1] for feature_map in used)
        probes.probes = torch.nn.ModuleList([probes.probes[stage] for stage in stages])
        optimizer = torch.optim.Adam(probes.parameters(), lr=1e-2)
        for _ in range(3):
            losses = probes.loss(tuple(used), samples([0, 1, 2, 0, 1, 2, 0, 1]))
            optimizer.zero_grad()
            sum(value for key, value in losses.items() if "loss" in key).backward()
            optimizer.step()
        return probes.probes[-1][3].weight

    # A tuple of one map is what a backbone with several out_indices would give.
    torch.testing.assert_close(learn((3,)), learn((0, 1, 2, 3)), rtol=0, atol=0)


def test_errors():
    with pytest.raises(ValueError, match="one length"):
        MODELS.build(dict(type="MultiStageLinearHead", num_classes=3, in_channels=(4, 8)))
    model = build(AVID, out_indices=(3,))
    with pytest.raises(ValueError, match="single map"):
        model(torch.randn(2, 1, 3, 8, 32, 32), samples([0, 1]), mode="loss")


def test_probes_of_sound_against_plain_layers():
    """Maps of two axes, of the four blocks of AVID's audio net."""
    torch.manual_seed(0)
    net = dict(type="AVIDAudioNet", base_channels=4, strides=(1, 2, 2, 1))
    net = MODELS.build(dict(**net, out_indices=(0, 1, 2, 3))).eval()
    sound = torch.randn(3, 1, 129, 100)
    maps = net(sound)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (4, 65, 50),
        (8, 33, 25),
        (16, 17, 13),
        (32, 17, 13),
    ]
    net.out_indices = (3,)
    torch.testing.assert_close(net(sound), maps[3])
    sizes = ((12, 12), (8, 8), (6, 6), (4, 4))
    head = dict(type="MultiStageLinearHead", num_classes=5, in_channels=(4, 8, 16, 32))
    head = MODELS.build(dict(**head, pool_sizes=sizes)).eval()
    for probe, feature, size, scores in zip(head.probes, maps, sizes, head(maps), strict=True):
        values = torch.nn.functional.adaptive_max_pool2d(feature, size).flatten(1)
        values = values / (1 + probe[2].eps) ** 0.5
        torch.testing.assert_close(scores, values @ probe[3].weight.T + probe[3].bias)
    with pytest.raises(ValueError, match="two or three values"):
        MODELS.build(
            dict(type="MultiStageLinearHead", num_classes=5, in_channels=(4,), pool_sizes=((4,),))
        )
