"""DeepClustering's five assignments of who learns from whom, and what its state is."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.batches import make_batch, total
from helpers.clusters import K, N, start
from mmaction.registry import MODELS

from cmac_mm.datasets import ClusterBalancedSampler

BOTH = ("visual", "audio")
PRESETS = {
    "sdc": dict(visual=["visual"], audio=["audio"]),
    "mdc": dict(visual=["visual", "audio"], audio=["visual", "audio"]),
    "cdc": dict(visual=["joint"], audio=["joint"]),
    "xdc": dict(visual=["audio"], audio=["visual"]),
    "xdc-visual": dict(visual=["visual_2"], visual_2=["visual"]),
    "xdc-audio": dict(audio=["audio_2"], audio_2=["audio"]),
}
SOURCES = {
    "sdc": {"visual", "audio"},
    "mdc": {"visual", "audio"},
    "cdc": {"joint"},
    "xdc": {"visual", "audio"},
    "xdc-visual": {"visual", "visual_2"},
    "xdc-audio": {"audio", "audio_2"},
}


def build(supervision, seed=0, num_clusters=K):
    torch.manual_seed(seed)
    names = {name.removesuffix("_2") for name in supervision}
    backbones = dict(
        visual_backbone=dict(
            type="R2Plus1D",
            variant="avid",
            base_channels=4,
            stage_blocks=(1, 1, 1, 1),
            strides=(1, 2, 2, 1),
        ),
        audio_backbone=dict(type="AudioResNet", depth=18, base_channels=2),
    )
    model = MODELS.build(
        dict(
            type="DeepClustering",
            head=dict(
                type="ClusterHead",
                supervision=supervision,
                num_clusters=num_clusters,
                visual_channels=32,
                audio_channels=16,
            ),
            **{key: cfg for key, cfg in backbones.items() if key.split("_")[0] in names},
        )
    )
    model.init_weights()
    return model


def logits(model, encoder, source, inputs):
    """In plain sums."""
    x = inputs["imgs" if encoder.startswith("visual") else "audio"]
    feature_map = getattr(model, f"{encoder}_backbone")(x)
    features = feature_map.flatten(2).double().mean(dim=2)
    head = model.head.classifiers[f"{encoder}_by_{source}"]
    return [
        [
            sum(float(a * b) for a, b in zip(row.tolist(), feature.tolist(), strict=True))
            + float(bias)
            for row, bias in zip(head.weight.double(), head.bias.double(), strict=True)
        ]
        for feature in features
    ]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("rows", [[3], [0, 5, 11, 7]])
def test_loss_is_the_equation_in_loops(name, rows):
    """Mean over samples of -log softmax, those without a cluster as zeros; mean over heads."""
    supervision = PRESETS[name]
    model = build(supervision).eval()
    labels, _ = start(model)
    for head in model.head.classifiers.values():  # larger weights, so that the loss is not log k
        torch.nn.init.normal_(head.weight)
    inputs, samples = make_batch(rows)
    assert set(model.sources) == SOURCES[name] == set(labels)
    losses = model(inputs, samples, mode="loss")
    assert {key for key in losses if "loss" in key} == {
        f"loss_{e}_by_{s}" for e, sources in supervision.items() for s in sources
    }
    for encoder, sources in supervision.items():
        for source in sources:
            expected, hits, count = 0.0, 0, 0
            for scores, row in zip(logits(model, encoder, source, inputs), rows, strict=True):
                label = labels[source][row]
                if label >= 0:
                    expected -= scores[label] - math.log(sum(map(math.exp, scores)))
                    hits += scores[label] == max(scores)
                    count += 1
            key = f"{encoder}_by_{source}"
            expected /= len(rows) * len(sources)
            assert float(losses[f"loss_{key}"].detach()) == pytest.approx(expected, rel=1e-4)
            assert float(losses[f"top1_{key}"]) == pytest.approx(hits / count)


def test_encoders_learn_from_whom_they_should():
    """XDC: no gradient from a modality's own clusters; what changes is the other's alone."""
    model = build(PRESETS["xdc"]).eval()
    labels, _ = start(model)
    inputs, samples = make_batch([0, 1, 2, 3])
    before = model(inputs, samples, mode="loss")
    model.labels("audio").copy_(torch.from_numpy((labels["audio"] + 1) % K))
    after = model(inputs, samples, mode="loss")
    assert float(after["loss_visual_by_audio"]) != float(before["loss_visual_by_audio"])
    assert float(after["loss_audio_by_visual"]) == float(before["loss_audio_by_visual"])
    after["loss_visual_by_audio"].backward()
    assert all(p.grad is None for p in model.audio_backbone.parameters())
    assert all(p.grad is not None for p in model.visual_backbone.parameters())


def test_each_encoder_may_be_balanced_over_its_own_clusters_alone():
    """Drawn as the sampler does, each of its clusters counts the same; the loss in loops."""
    model = build(PRESETS["sdc"])
    labels, _ = start(model)
    sampler = ClusterBalancedSampler(range(N), repeats=3000, seed=0)
    sampler.bind(1, drop_last=False)
    sampler.set_labels([labels["visual"], labels["audio"]])
    drawn = torch.tensor([int(index) for index in sampler])
    chosen = {source: torch.from_numpy(own)[drawn] for source, own in labels.items()}
    weights = model._weights(chosen)
    for source, own in chosen.items():
        counts = torch.zeros(K).index_add_(0, own, weights[source])
        counts = counts[counts > 0] / len(drawn) * (counts > 0).sum()
        assert (counts - 1).abs().max() < 0.02
    rows = [3, 5, 1]
    inputs, samples = make_batch(rows)
    plain, other = model.loss(inputs, samples), build(PRESETS["sdc"])
    other.balance_own = True
    other.load_state_dict(model.state_dict())
    weighted = other.train().loss(inputs, samples)
    features = other._features(other._training_clips(inputs)[0])
    batch = {s: torch.from_numpy(own)[rows].long() for s, own in labels.items()}
    for name in ("visual", "audio"):
        head = other.head.classifiers[f"{name}_by_{name}"]
        logits = F.linear(features[name], head.weight, head.bias)
        terms = F.cross_entropy(logits, batch[name], reduction="none")
        wanted = sum(w * t for w, t in zip(other._weights(batch)[name], terms, strict=True)) / 3
        torch.testing.assert_close(weighted[f"loss_{name}_by_{name}"], wanted)
        assert not torch.isclose(plain[f"loss_{name}_by_{name}"], wanted, rtol=1e-3)


def test_two_ranks_average_to_one_batch():
    """3 samples as 2 + 1, one of them without a cluster, as ResumableSampler cuts them."""
    from unittest.mock import patch

    model = build(PRESETS["mdc"]).eval()
    start(model)
    rows = [2, 11, 4]
    inputs, samples = make_batch(rows, global_batch_size=3)
    whole = float(total(model(inputs, make_batch(rows)[1], mode="loss")))
    parts = []
    for rank, part in ((0, slice(0, 2)), (1, slice(2, 3))):
        with (
            patch("mmengine.dist.get_world_size", return_value=2),
            patch("mmengine.dist.get_rank", return_value=rank),
        ):
            x = {key: value[part] for key, value in inputs.items()}
            parts.append(float(total(model(x, samples[part], mode="loss"))))
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)


def test_batch_without_any_cluster_is_no_error():
    model = build(PRESETS["xdc"])
    start(model)
    inputs, samples = make_batch([N - 1, N - 1])
    loss = total(model(inputs, samples, mode="loss"))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_loss_is_float32_under_mixed_precision():
    model = build(PRESETS["xdc"]).eval()
    start(model)
    inputs, samples = make_batch([0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(inputs, samples, mode="loss")
    assert {value.dtype for value in losses.values()} == {torch.float32}
    feature = torch.randn(2, 32).bfloat16()
    head = next(iter(model.head.classifiers.values()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = head(feature, torch.tensor([1, 3]))
    expected = F.cross_entropy(F.linear(feature.float(), head.weight), torch.tensor([1, 3]))
    assert float(loss.detach()) == float(expected.detach())


def test_heads_depend_on_seed_and_round_alone():
    first, second = build(PRESETS["mdc"], seed=0), build(PRESETS["mdc"], seed=1)
    weights = []
    for model, numbers in ((first, [0, 1]), (second, [1])):
        for number in numbers:
            _, reset = start(model, number)
            assert {id(p) for p in reset} == {id(p) for p in model.head.parameters()}
        weights.append({name: p.detach().clone() for name, p in model.head.named_parameters()})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    drawn = [value for name, value in weights[0].items() if name.endswith("weight")]
    assert len(drawn) == 4
    for i, one in enumerate(drawn):
        assert one.std() == pytest.approx(0.01, rel=0.3)
        assert all(not torch.equal(one, other) for other in drawn[:i])
    start(first, 2)
    assert not torch.equal(first.head.classifiers["visual_by_audio"].weight, drawn[1])
    assert all((p == 0).all() for n, p in first.head.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize("name", ["xdc-visual", "xdc-audio"])
def test_second_encoder_starts_elsewhere_and_is_not_evaluated(name):
    model = build(PRESETS[name]).eval()
    first, second = model.encoders
    one, two = (dict(getattr(model, f"{e}_backbone").named_parameters()) for e in (first, second))
    assert one.keys() == two.keys()
    assert any(not torch.equal(one[key], two[key]) for key in one)
    inputs, _ = make_batch([0, 1])
    samples = model(inputs, mode="predict")
    feature_map = getattr(model, f"{first}_backbone")(inputs[dict(a="audio", v="imgs")[first[0]]])
    expected = feature_map.flatten(2).mean(dim=2)
    for sample, feature in zip(samples, expected, strict=True):
        torch.testing.assert_close(sample.get(f"{first}_feature"), feature)
        assert f"{second}_feature" in sample
        assert {*sample.keys()} == {f"{first}_feature", f"{second}_feature"}


def test_predict_averages_clips():
    model = build(PRESETS["cdc"]).eval()
    inputs, _ = make_batch([0, 1, 2, 3])
    single = model(inputs, mode="predict")
    several = model({key: x.unflatten(0, (2, 2)) for key, x in inputs.items()}, mode="predict")
    for modality in BOTH:
        features = torch.stack([s.get(f"{modality}_feature") for s in single])
        expected = features.unflatten(0, (2, 2)).mean(dim=1)
        actual = torch.stack([s.get(f"{modality}_feature") for s in several])
        torch.testing.assert_close(actual, expected)


def test_state_travels_with_the_checkpoint():
    model = build(PRESETS["cdc"])
    assert model.current_round == -1 and model.num_videos == 0
    labels, _ = start(model, number=3)
    assert model.current_round == 3
    state = model.state_dict()
    assert state["centroids_joint"].shape == (K, 3)
    fresh = build(PRESETS["cdc"], seed=1)
    fresh.load_state_dict(state)
    assert fresh.current_round == 3
    assert torch.equal(fresh.labels("joint"), torch.from_numpy(labels["joint"]))
    assert torch.equal(fresh.centroids_joint, model.centroids_joint)
    bound = build(PRESETS["cdc"], seed=1)
    bound.bind_list(N, bytes(range(32)), seed=0)
    bound.load_state_dict(state)
    inputs, samples = make_batch([0, 1])
    for one in (model, fresh, bound):
        one.eval()
    losses = [float(total(m(inputs, samples, mode="loss"))) for m in (model, fresh, bound)]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(("num_videos", "digest"), [(N + 1, 0), (N, 1)])
def test_another_list_is_refused(num_videos, digest):
    model, other = build(PRESETS["xdc"]), build(PRESETS["xdc"])
    start(model)
    other.bind_list(num_videos, bytes(range(digest, digest + 32)), seed=0)
    with pytest.raises(RuntimeError, match=f"another list .*12 videos, this list has {num_videos}"):
        other.load_state_dict(model.state_dict())


def test_untrained_and_unbound_say_so():
    model = build(PRESETS["xdc"])
    inputs, samples = make_batch([0])
    with pytest.raises(RuntimeError, match=r"no clusters yet: put dict.type='ClusteringHook'"):
        model(inputs, samples, mode="loss")
    model.bind_list(N, bytes(32), seed=0)
    with pytest.raises(RuntimeError, match="no clusters yet"):
        model(inputs, samples, mode="loss")
    start(model, num_videos=N)
    with pytest.raises(
        ValueError, match="sample_idx 12 is outside the cluster labels of 12 videos"
    ):
        model(*make_batch([N]), mode="loss")
    with pytest.raises(ValueError, match=r"trains on 1 clip\(s\) a video here, got 2"):
        two = {key: torch.stack([x, x], dim=1) for key, x in inputs.items()}
        model(two, samples, mode="loss")


@pytest.mark.parametrize(
    ("supervision", "message"),
    [
        (dict(visual=["audio"]), r"supervision of 'visual' must be .* \['visual'\], the encoders"),
        (dict(visual=["visual"]), r"the backbones are \['audio', 'visual'\], the entries"),
        (dict(visual=["audio"], audio=[]), "supervision of 'audio' must be different ones of"),
        (dict(visual=["audio"], audio=["image"]), r"got \['image'\]"),
        (dict(visual=["audio", "audio"], audio=["visual"]), r"got \['audio', 'audio'\]"),
        (dict(visual=["visual_2"], audio=["visual"]), r"got \['visual_2'\]"),
    ],
)
def test_bad_supervision_is_refused(supervision, message):
    with pytest.raises(ValueError, match=message):
        build({**PRESETS["xdc"], **supervision}) if "audio" in supervision else MODELS.build(
            dict(
                type="DeepClustering",
                head=dict(type="ClusterHead", supervision=supervision, num_clusters=K),
                visual_backbone=dict(type="R2Plus1D", base_channels=4),
                audio_backbone=dict(type="AudioResNet", base_channels=2),
            )
        )


def test_joint_needs_two_encoders_and_clusters_must_be_two():
    build(dict(visual=["visual"]))  # SDC of one modality alone
    with pytest.raises(ValueError, match=r"supervision of 'visual' .* got \['joint'\]"):
        build(dict(visual=["joint"]))
    with pytest.raises(ValueError, match="num_clusters must be at least 2, got 1"):
        build(PRESETS["sdc"], num_clusters=1)
