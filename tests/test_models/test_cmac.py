"""CMAC against its equations, option by option."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers.batches import total
from helpers.cmac_models import build, make_batch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn

import cmac_mm  # noqa: F401
from cmac_mm.models.losses import attention_consistency
from cmac_mm.models.necks import pyramid_correlation

PREPROCESSOR = dict(type="AudioVisualDataPreprocessor")


def slow_nll(query, positive, negatives, temperature=0.07):
    """Eq. 7 for one query, by hand."""
    exp = [torch.exp(query @ key / temperature) for key in [positive, *negatives]]
    return -torch.log(exp[0] / sum(exp))


def embed(model, name, x, key=False):
    """Normalised projection of a batch, the long way round."""
    if key:
        encoder = model.key_encoders[name]
        modules = (encoder.backbone, encoder.filter_branch, encoder.projection)
    else:
        modules = model._query_modules(name)
    feature_map = modules[1](modules[0](x))
    pooled = feature_map.mean(dim=tuple(range(2, feature_map.ndim)))
    return F.normalize(modules[2](pooled), dim=1)


@pytest.mark.parametrize("within_negatives", [True, False])
@pytest.mark.parametrize("within_positives", [True, False])
@pytest.mark.parametrize("in_batch", [True, False])
def test_contrastive_part_against_loop(within_negatives, within_positives, in_batch):
    """All rows of table 3, with and without in-batch negatives; one row number appears twice."""
    model = build(
        dict(
            within_modal_negatives=within_negatives,
            within_modal_positives=within_positives,
            in_batch_negatives=in_batch,
        ),
        attention=False,
    )
    rows = [3, 5, 5, 7]
    inputs, samples = make_batch(rows=rows, clips=2 if within_positives else None)
    for queue in model.queues.values():
        queue.enqueue(queue.keys[:4].clone(), torch.tensor([3, 7, 1, 2]))
    reference = copy.deepcopy(model)
    losses = model(inputs, samples, mode="loss")

    with torch.no_grad():
        first, second = inputs, inputs
        if within_positives:
            first = {key: x[:, 0] for key, x in inputs.items()}
            second = {key: x[:, 1] for key, x in inputs.items()}
        data = {"visual": "imgs", "audio": "audio"}
        query = {m: embed(reference, m, first[data[m]]) for m in data}
        keys = {m: embed(reference, m, first[data[m]], key=True) for m in data}
        keys2 = {m: embed(reference, m, second[data[m]], key=True) for m in data}
        for own, other in (("visual", "audio"), ("audio", "visual")):
            expected = {other: 0.0, own: 0.0}
            for i in range(4):
                negatives = {}
                for m in (other, own):
                    queue = reference.queues[m]
                    negatives[m] = [
                        key
                        for key, row in zip(queue.keys, queue.sample_idx, strict=True)
                        if row != rows[i]
                    ]
                    if in_batch:
                        negatives[m] += [keys[m][j] for j in range(4) if rows[j] != rows[i]]
                if within_negatives:
                    negatives = dict.fromkeys(negatives, negatives[other] + negatives[own])
                for m, positive in ((other, keys[other][i]), (own, keys2[own][i])):
                    expected[m] += slow_nll(query[own][i], positive, negatives[m]) / 4
            torch.testing.assert_close(losses[f"loss_{own}_to_{other}"], expected[other])
            if within_positives:
                torch.testing.assert_close(losses[f"loss_{own}_to_{own}"], expected[own])
            else:
                assert f"loss_{own}_to_{own}" not in losses


@pytest.mark.parametrize("norm", ["cosine", "softmax", "none"])
@pytest.mark.parametrize("num_scales", [1, 2, 3])
def test_attention_part(norm, num_scales):
    """All cells of table 2: eq. 3 to 6 written out."""
    model = build(False, dict(loss_weight=0.7), neck=dict(norm=norm, num_scales=num_scales))
    inputs, samples = make_batch()
    losses = model(inputs, samples, mode="loss")
    assert {key for key in losses if "loss" in key} == {
        "loss_visual_attention",
        "loss_audio_attention",
    }
    visual, audio = model.visual_backbone(inputs["imgs"]), model.audio_backbone(inputs["audio"])
    g_v, g_a = model.neck.visual_filter(visual), model.neck.audio_filter(audio)
    kappa_v, kappa_a = g_v.mean(dim=(2, 3, 4)), g_a.mean(dim=(2, 3))
    for name, kernel, filtered, feature_map in (
        ("visual", kappa_a, g_v, visual),
        ("audio", kappa_v, g_a, audio),
    ):
        guided = pyramid_correlation(kernel, filtered, norm, num_scales)
        predicted = torch.sigmoid(model.head.saliency[name].layers(feature_map))[:, 0]
        expected = 0.7 * attention_consistency(predicted, guided)
        torch.testing.assert_close(losses[f"loss_{name}_attention"], expected)
        torch.testing.assert_close(losses[f"guided_{name}_mean"], guided.mean())
        corr = [
            torch.corrcoef(torch.stack([g.flatten(), p.flatten()]))[0, 1]
            for g, p in zip(guided, predicted, strict=True)
        ]
        torch.testing.assert_close(losses[f"attention_{name}_corr"], torch.stack(corr).mean())


def test_objective_is_the_sum_of_its_parts():
    """Eq. 8: switching a part off leaves exactly the others."""
    inputs, samples = make_batch()
    full = build()(inputs, samples, mode="loss")
    parts = {key for key in full if "loss" in key}
    assert parts == {
        "loss_visual_to_audio",
        "loss_audio_to_visual",
        "loss_visual_attention",
        "loss_audio_attention",
    }
    parsed, _ = build().parse_losses({key: full[key] for key in full})
    torch.testing.assert_close(parsed, sum(full[key] for key in parts))
    without = build(attention=False)(inputs, samples, mode="loss")
    assert {key for key in without if "loss" in key} == {k for k in parts if "attention" not in k}


def test_queue_of_a_step_is_the_one_before_it():
    model = build(attention=False)
    inputs, samples = make_batch()
    before = copy.deepcopy(model.queues)
    model(inputs, samples, mode="loss")
    reference = build(attention=False)
    for name, queue in model.queues.items():
        keys = embed(reference, name, inputs[{"visual": "imgs", "audio": "audio"}[name]], key=True)
        torch.testing.assert_close(queue.keys[:4], keys)
        assert torch.equal(queue.keys[4:], before[name].keys[4:])
        assert queue.sample_idx[:4].tolist() == [0, 1, 2, 3]
        assert queue.pointer == 4


def test_momentum_update():
    """key <- 0.9 key + 0.1 query, before the keys of the step are computed."""
    model = build(momentum=0.9)
    with torch.no_grad():
        for parameter in model.visual_backbone.parameters():
            parameter.add_(1.0)
    key = [p.clone() for p in model.key_encoders["visual"].backbone.parameters()]
    query = [p.clone() for p in model.visual_backbone.parameters()]
    model(*make_batch(), mode="loss")
    for now, k, q in zip(
        model.key_encoders["visual"].backbone.parameters(), key, query, strict=True
    ):
        torch.testing.assert_close(now, 0.9 * k + 0.1 * q)
        assert not now.requires_grad


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("parts", "steps"), [(1, 4), (8, 2)])
def test_key_encoders_move_once_an_optimiser_step(parts, steps, fused):
    """Eight accumulated parts of a batch are one step: 0.9, and not 0.9 ** 8."""
    model = build(momentum=0.9)
    optimizer = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1, fused=fused), accumulative_counts=parts
    )
    keys = [p.clone() for p in model.key_encoders["audio"].parameters()]
    for step in range(steps):
        query = [p.clone() for module in model._query_modules("audio") for p in module.parameters()]
        keys = [0.9 * k + 0.1 * q for k, q in zip(keys, query, strict=True)]
        for part in range(parts):
            inputs, data_samples = make_batch(seed=step * parts + part)
            model.train_step(dict(inputs=inputs, data_samples=data_samples), optimizer)
            for now, key in zip(model.key_encoders["audio"].parameters(), keys, strict=True):
                torch.testing.assert_close(now, key)
    assert max((k - q).abs().max() for k, q in zip(keys, query, strict=True)) > 1e-3


def test_key_encoders_start_as_copies():
    model = build()
    for name, encoder in model.key_encoders.items():
        query = [p for module in model._query_modules(name) for p in module.parameters()]
        assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), query, strict=True))


def test_evaluation_changes_nothing():
    model = build().eval()
    before = copy.deepcopy(model.state_dict())
    model(*make_batch(), mode="loss")
    model(*make_batch(), mode="predict")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_gradients_reach_everything_but_the_keys():
    model = build()
    total(model(*make_batch(), mode="loss")).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("key_encoders"):
            assert parameter.grad is None
        else:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradient_norms_are_those_of_the_parts():
    model = build()
    inputs, samples = make_batch()
    losses = model(inputs, samples, mode="loss")
    model = build()  # the same weights and queue again
    maps = {}
    for name in ("visual", "audio"):
        backbone = getattr(model, f"{name}_backbone")
        backbone.register_forward_hook(lambda _m, _i, out, name=name: maps.update({name: out}))
    model.grad_norm_interval = 0
    again = model(inputs, samples, mode="loss")
    for key in ("visual_to_audio", "audio_attention"):
        grads = torch.autograd.grad(
            again[f"loss_{key}"], list(maps.values()), retain_graph=True, allow_unused=True
        )
        expected = torch.cat([g.flatten() for g in grads if g is not None]).norm()
        torch.testing.assert_close(losses[f"grad_norm_{key}"], expected, rtol=1e-3, atol=0)
    assert not any("grad_norm" in key for key in again)


def test_queue_free_is_symmetric_in_batch_contrast():
    """queue_size=0: the other modality's queries are the keys, and take gradient."""
    model = build(dict(in_batch_negatives=True, within_modal_negatives=False), False, queue_size=0)
    inputs, samples = make_batch(rows=[4, 9, 9, 2])
    losses = model(inputs, samples, mode="loss")
    total(losses).backward()
    grad = model.audio_backbone.conv1.weight.grad.clone()
    model.zero_grad()
    v, a = embed(model, "visual", inputs["imgs"]), embed(model, "audio", inputs["audio"])
    logits = v @ a.T / 0.07
    logits[1, 2] = logits[2, 1] = -torch.inf  # two clips of video 9
    target = torch.arange(4)
    v_to_a, a_to_v = F.cross_entropy(logits, target), F.cross_entropy(logits.T, target)
    torch.testing.assert_close(losses["loss_visual_to_audio"], v_to_a)
    torch.testing.assert_close(losses["loss_audio_to_visual"], a_to_v)
    (v_to_a + a_to_v).backward()
    torch.testing.assert_close(grad, model.audio_backbone.conv1.weight.grad)
    assert not any(key.startswith(("key_encoders", "queues")) for key in model.state_dict())


def test_without_projections_the_filters_are_contrasted():
    """Eq. 7 as printed: kappa_v against kappa_a."""
    model = build(attention=False, head=dict(projection="none"))
    reference = copy.deepcopy(model)
    inputs, samples = make_batch()
    losses = model(inputs, samples, mode="loss")
    with torch.no_grad():
        kappa = F.normalize(
            reference.neck.visual_filter(reference.visual_backbone(inputs["imgs"])).mean(
                dim=(2, 3, 4)
            ),
            dim=1,
        )
        keys = embed(reference, "audio", inputs["audio"], key=True)
        negatives = [*reference.queues["audio"].keys, *reference.queues["visual"].keys]
        expected = sum(slow_nll(kappa[i], keys[i], negatives) for i in range(4)) / 4
    torch.testing.assert_close(losses["loss_visual_to_audio"], expected)
    assert model.queues["audio"].keys.shape == (10, 24)


@pytest.mark.parametrize("layers", [1, 2])
def test_shared_projection(layers):
    """One head of one or two layers for both modalities, and its key copies."""
    model = build(attention=False, head=dict(projection="shared", projection_layers=layers))
    assert list(model.head.projections) == ["shared"]
    reference = copy.deepcopy(model)
    inputs, samples = make_batch()
    losses = model(inputs, samples, mode="loss")
    with torch.no_grad():
        linear = [m for m in reference.head.projections["shared"] if isinstance(m, nn.Linear)]
        assert len(linear) == layers
        x = reference.neck.visual_filter(reference.visual_backbone(inputs["imgs"])).mean((2, 3, 4))
        for number, layer in enumerate(linear):
            x = (x.relu() if number else x) @ layer.weight.T + layer.bias
        query = F.normalize(x, dim=1)
        keys = embed(reference, "audio", inputs["audio"], key=True)
        negatives = [*reference.queues["audio"].keys, *reference.queues["visual"].keys]
        expected = sum(slow_nll(query[i], keys[i], negatives) for i in range(4)) / 4
    torch.testing.assert_close(losses["loss_visual_to_audio"], expected)
    with pytest.raises(ValueError, match="projection must be 'separate', 'shared' or 'none', got"):
        build(head=dict(projection=False))
    with pytest.raises(ValueError, match="projection_layers must be 1 or 2, got 3"):
        build(head=dict(projection_layers=3))


TIES = {
    "nothing": (dict(projection="separate"), True),
    "a shared projection": (dict(projection="shared"), True),
    "no projection": (dict(projection="none"), True),
    "gradient through the guided map": (dict(projection="separate"), False),
}


@pytest.mark.parametrize("tie", TIES)
def test_what_ties_the_channels_of_the_filters(tie):
    """Channels of g_v in another order, with P_v's inputs in the same: the guided maps are others.

    Where nothing ties them to the channels of g_a, the contrastive losses are the same and so is
    every gradient, in the new order: training goes on as before, with maps that mean something
    else. Attention consistency only compares predictions with them.
    """
    head, detach = TIES[tie]
    models = [build(dict(in_batch_negatives=True), dict(detach_target=detach), head=head)]
    models.append(copy.deepcopy(models[0]))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        conv, norm = models[1].neck.visual_filter
        for parameter in (conv.weight, norm.weight, norm.bias):
            parameter.copy_(parameter[order])
        if "visual" in models[1].head.projections:
            first = models[1].head.projections["visual"][0]
            first.weight.copy_(first.weight[:, order])
        for name, encoder in models[1].key_encoders.items():
            encoder.copy_from(models[1]._query_modules(name))
    inputs, samples = make_batch()
    losses = [model(inputs, samples, mode="loss") for model in models]
    gradients = []
    for model, parts in zip(models, losses, strict=True):
        total(parts).backward()
        gradients.append(model.neck.visual_filter[0].weight.grad.flatten(1))
    guided = [
        model.eval()(inputs, samples, mode="predict")[0].guided_visual_attention.flatten()
        for model in models
    ]
    assert torch.corrcoef(torch.stack(guided))[0, 1].abs() < 0.9
    contrast_stays = all(
        torch.allclose(losses[0][key], losses[1][key], rtol=1e-4)
        for key in ("loss_visual_to_audio", "loss_audio_to_visual")
    )
    training_stays = contrast_stays and torch.allclose(
        gradients[0][order], gradients[1], rtol=1e-3, atol=1e-5
    )
    assert training_stays == (tie == "nothing")
    assert contrast_stays == (head["projection"] == "separate")


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_single_modality_is_moco_on_two_clips(modality):
    model = build(modalities=(modality,))
    inputs, samples = make_batch(clips=2)
    reference = copy.deepcopy(model)
    losses = model(inputs, samples, mode="loss")
    assert {key for key in losses if "loss" in key} == {f"loss_{modality}_to_{modality}"}
    with torch.no_grad():
        x = inputs[{"visual": "imgs", "audio": "audio"}[modality]]
        query = embed(reference, modality, x[:, 0])
        keys = embed(reference, modality, x[:, 1], key=True)
        queue = reference.queues[modality].keys
        expected = sum(slow_nll(query[i], keys[i], queue) for i in range(4)) / 4
    torch.testing.assert_close(losses[f"loss_{modality}_to_{modality}"], expected)
    torch.testing.assert_close(model.queues[modality].keys[:4], keys)
    (sample, *_) = model.eval()(inputs, samples, mode="predict")
    assert f"{modality}_feature" in sample
    assert not any("attention" in key for key in sample.keys())  # noqa: SIM118


def test_batch_of_one():
    losses = build()(*make_batch(size=1), mode="loss")
    assert all(value.isfinite() for value in losses.values())


def test_predict_averages_clips():
    model = build().eval()
    inputs, samples = make_batch(size=2, clips=3)
    predicted = model(inputs, samples, mode="predict")
    assert [sample.sample_idx for sample in predicted] == [0, 1]
    for b, sample in enumerate(predicted):
        features, embeddings = [], []
        for n in range(3):
            (one,) = model({key: x[b : b + 1, n] for key, x in inputs.items()}, mode="predict")
            features.append(one.visual_feature)
            embeddings.append(one.visual_embedding)
            for key in ("guided_visual_attention", "predicted_audio_attention"):
                torch.testing.assert_close(sample.get(key)[n], one.get(key)[0])
        torch.testing.assert_close(sample.visual_feature, torch.stack(features).mean(dim=0))
        mean = torch.stack(embeddings).mean(dim=0)
        torch.testing.assert_close(sample.visual_embedding, mean / mean.norm())
        assert sample.guided_visual_attention.shape == (3, 1, 2, 2)
        assert sample.guided_audio_attention.shape == (3, 2, 1)


def test_tensor_mode_gives_feature_maps():
    maps = build()(make_batch()[0])
    assert {key: tuple(x.shape) for key, x in maps.items()} == {
        "visual_map": (4, 32, 1, 2, 2),
        "audio_map": (4, 32, 2, 1),
    }


def test_bfloat16_autocast_keeps_losses_in_float32():
    inputs, samples = make_batch()
    expected = build()(inputs, samples, mode="loss")
    with torch.autocast("cpu", torch.bfloat16):
        losses = build()(inputs, samples, mode="loss")
    for key in (key for key in expected if "loss" in key):
        assert losses[key].dtype == torch.float32
        torch.testing.assert_close(losses[key], expected[key], rtol=0.1, atol=0.05)


VIDEO_PEERS = {
    "X3D": (dict(type="X3D", gamma_w=1, gamma_b=2.25, gamma_d=2.2), 432),
    "SlowOnly": (
        dict(type="ResNet3dSlowOnly", depth=18, pretrained=None, conv1_kernel=(1, 7, 7)),
        512,
    ),
    "Swin3D": (
        dict(
            type="SwinTransformer3D",
            arch=dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4]),
            window_size=(4, 4, 4),
            pretrained2d=False,
        ),
        128,
    ),
}


def _train_once_with(visual, visual_channels, audio, audio_channels):
    channels = dict(visual_channels=visual_channels, audio_channels=audio_channels)
    model = MODELS.build(
        dict(
            type="CMAC",
            visual_backbone=visual,
            audio_backbone=audio,
            neck=dict(type="CMACNeck", channels=24, **channels),
            head=dict(
                type="CMACHead",
                filter_channels=24,
                loss_contrastive=dict(type="MoCoQueueLoss"),
                loss_attention=dict(type="AttentionConsistencyLoss"),
                **channels,
            ),
            queue_size=8,
        )
    )
    inputs, samples = make_batch(size=2)
    inputs["imgs"] = torch.randn(2, 3, 8, 64, 64)
    loss = total(model(inputs, samples, mode="loss"))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("peer", VIDEO_PEERS)
def test_mmaction2_visual_backbones_serve(peer):
    audio = dict(type="AudioResNet", base_channels=4)
    _train_once_with(*VIDEO_PEERS[peer], audio, 32)


def test_mmaction2_audio_backbone_serves():
    init_default_scope("mmaction")  # it looks up its convolution there
    visual = dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1))
    audio = dict(type="ResNetAudio", depth=50, pretrained=None, base_channels=4, norm_eval=False)
    _train_once_with(visual, 32, audio, 128)


def test_refuses_contradictions():
    with pytest.raises(ValueError, match="nothing to learn"):
        build(False, False)
    with pytest.raises(ValueError, match="no negatives left"):
        build(queue_size=0)
    with pytest.raises(ValueError, match="within_modal_positives"):
        build(dict(within_modal_positives=True, in_batch_negatives=True), queue_size=0)
    with pytest.raises(ValueError, match="-1"):
        build(queue_size=-1)
    with pytest.raises(ValueError, match="momentum"):
        build(momentum=1.5)
    with pytest.raises(ValueError, match="visual_backbone, an audio_backbone"):
        build(modalities=())
    with pytest.raises(ValueError, match=r"neck and head .* same channels, got .*16.* and .*32"):
        build(neck=dict(visual_channels=16))


def test_refuses_bad_input():
    model = build()
    inputs, samples = make_batch()
    with pytest.raises(ValueError, match="lack 'audio'"):
        model(dict(imgs=inputs["imgs"]), samples, mode="loss")
    with pytest.raises(ValueError, match="got 2"):
        model(*make_batch(clips=2), mode="loss")
    with pytest.raises(ValueError, match="5 axes"):
        model({**inputs, "imgs": inputs["imgs"][0, 0]}, samples, mode="loss")
    with pytest.raises(ValueError, match="number of clips"):
        model({**inputs, "imgs": make_batch(clips=2)[0]["imgs"]}, samples, mode="loss")
    with pytest.raises(ValueError, match="sample_idx"):
        model(inputs, [ActionDataSample() for _ in range(4)], mode="loss")
    with pytest.raises(ValueError, match="4 videos"):
        model(inputs, None, mode="loss")
    with pytest.raises(ValueError, match="'train'"):
        model(inputs, samples, mode="train")


@pytest.mark.parametrize("rows", [[3], [3, 3]])
@pytest.mark.parametrize("attention", [None, False])
def test_without_queue_a_batch_of_one_video_is_refused(rows, attention):
    """Its only key is the positive: the loss would be 0."""
    model = build(dict(in_batch_negatives=True), attention, queue_size=0)
    inputs, samples = make_batch(size=len(rows), rows=rows)
    message = f"the batch has {len(rows)} clip.* of one video.*batch_size of 2.*drop_last=True"
    with pytest.raises(ValueError, match=message):
        model(inputs, samples, mode="loss")
    inputs, samples = make_batch(size=2, rows=[3, 4])
    assert model(inputs, samples, mode="loss")["loss_visual_to_audio"] > 0
    model = build(dict(in_batch_negatives=True), attention)  # with a queue there are others
    inputs, samples = make_batch(size=1, rows=[3])
    assert model(inputs, samples, mode="loss")["loss_visual_to_audio"] > 0
