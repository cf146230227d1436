"""AVID and CMA against the paper's equations, written out as loops."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.batches import make_batch, slice_batch, total
from helpers.ranks import on_two_ranks
from mmaction.registry import MODELS

import cmac_mm
from cmac_mm.models import AVIDHead
from cmac_mm.utils import load_weights

TEMPERATURE = 0.3


def build(num_videos=20, head=None, **kwargs):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="AVID",
            visual_backbone=dict(
                type="R2Plus1D",
                variant="avid",
                base_channels=4,
                stage_blocks=(1, 1, 1, 1),
                strides=(1, 2, 2, 1),
            ),
            audio_backbone=dict(type="AVIDAudioNet", base_channels=4),
            head=dict(
                type="AVIDHead",
                visual_channels=32,
                audio_channels=32,
                hidden_channels=16,
                embed_channels=8,
                temperature=TEMPERATURE,
                **{"num_agreement_negatives": 5, **(head or {})},
            ),
            num_videos=num_videos,
            **{"num_negatives": 12, "num_positives": 3, **kwargs},
        )
    )
    return model


def nce(x, positives, negatives, z):
    """Eq. 1 and 2 for one sample; positives are averaged."""
    k = len(negatives)

    def p(row):
        e = math.exp(float(x @ row) / TEMPERATURE)
        return e / (e + k * z)

    pull = sum(-math.log(p(row)) for row in positives) / max(1, len(positives))
    return pull + sum(-math.log(1 - p(row)) for row in negatives)


class SlowAVID:
    """Banks as lists and every term as a loop over samples; negatives are handed to it."""

    def __init__(self, model):
        self.banks = {n: [r.clone().double() for r in b.entries] for n, b in model.banks.items()}
        self.weights, self.k_agreement = model.head.weights, model.head.num_agreement_negatives
        self.momentum = model.banks["visual"].momentum
        self.z = None

    def step(self, embeddings, rows, negatives, positives=None):
        embeddings = {name: x.detach().double() for name, x in embeddings.items()}
        groups = []
        pairs = {"cross": [("visual", "audio"), ("audio", "visual")]}
        pairs["self"] = pairs["agreement"] = [("visual", "visual"), ("audio", "audio")]
        for group, weight in self.weights.items():
            if weight == 0 or (group == "agreement" and positives is None):
                continue
            terms = [
                self._term(group, *pair, embeddings, rows, negatives, positives)
                for pair in pairs[group]
            ]
            groups.append((weight, sum(terms) / 2))
        for name, bank in self.banks.items():
            old = list(bank)
            for row in set(rows):
                mean = [z for r, z in zip(rows, embeddings[name], strict=True) if r == row]
                mean = sum(mean) / len(mean)
                moved = self.momentum * old[row] + (1 - self.momentum) * mean
                bank[row] = moved / moved.norm()
        return sum(w * loss for w, loss in groups) / sum(w for w, _ in groups)

    def _term(self, group, query, target, embeddings, rows, negatives, positives):
        bank, losses = self.banks[target], []
        if self.z is None:
            scores = [
                math.exp(float(x @ bank[n]) / TEMPERATURE)
                for x, drawn in zip(embeddings[query], negatives, strict=True)
                for n in drawn
            ]
            self.z = sum(scores) / len(scores)
        for i, x in enumerate(embeddings[query]):
            wanted, drawn = [rows[i]], negatives[i]
            if group == "agreement":
                wanted = [p for p in positives[rows[i]].tolist() if p >= 0]
                drawn = drawn[: self.k_agreement]
            losses.append(nce(x, [bank[p] for p in wanted], [bank[n] for n in drawn], self.z))
        return sum(losses) / len(losses)


@pytest.fixture
def seen(monkeypatch):
    """What the model draws and embeds, as it goes by."""
    record = {"negatives": [], "embeddings": []}
    module = cmac_mm.models.selfsup.avid
    draw, embed = module.draw_negatives, AVIDHead.embed

    def record_draw(*args):
        record["negatives"].append(draw(*args))
        return record["negatives"][-1]

    def record_embed(self, maps):
        record["embeddings"].append(embed(self, maps))
        return record["embeddings"][-1]

    monkeypatch.setattr(module, "draw_negatives", record_draw)
    monkeypatch.setattr(AVIDHead, "embed", record_embed)
    return record


CASES = {
    "cross": {},
    "self": dict(cross_weight=0.0, self_weight=1.0),
    "joint": dict(cross_weight=1.0, self_weight=0.5),
    "cma": dict(agreement_weight=2.0, mined=True),
    "cma and self": dict(self_weight=1.0, agreement_weight=0.3, mined=True),
    "not mined yet": dict(agreement_weight=7.0),
    "slow bank": dict(bank_momentum=0.9),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("num_videos", "rows"),
    [(20, [3, 19, 0, 7]), (20, [5]), (20, [2, 2, 9, 2]), (6, [0, 5, 3]), (3, [1, 0])],
    ids=["batch", "one", "twice", "few", "three"],
)
def test_against_slow_loops(case, num_videos, rows, seen):
    """Three steps: losses, Z and banks. The video of the second sample has fewer positives."""
    options = dict(CASES[case])
    mined = options.pop("mined", False)
    bank = {key: options.pop(key) for key in ("bank_momentum",) if key in options}
    model = build(num_videos, options, num_positives=min(3, num_videos - 2), **bank)
    positives = None
    if mined:
        p = model.positives.shape[1]
        positives = (torch.arange(num_videos)[:, None] + torch.arange(1, p + 1)) % num_videos
        if len(rows) > 1 and p > 1:
            positives[rows[1], 0] = -1
        model.positives.copy_(positives)
    slow = SlowAVID(model)
    for step in range(3):
        model.train()
        batch = make_batch(rows, seed=step)
        losses = model(*batch, mode="loss")
        negatives = seen["negatives"][-1].tolist()
        want = slow.step(seen["embeddings"][-1], rows, negatives, positives)
        assert total(losses).item() == pytest.approx(want, rel=1e-4)
        assert model.head.loss_nce.z.item() == pytest.approx(slow.z, rel=1e-4)
        for name, bank in model.banks.items():
            torch.testing.assert_close(
                bank.entries.double(), torch.stack(slow.banks[name]), rtol=1e-4, atol=1e-5
            )
        for row, drawn in zip(rows, negatives, strict=True):
            assert row not in drawn
            assert positives is None or not set(positives[row].tolist()) & set(drawn)
        total(losses).backward()


def test_names_say_which_terms_there_are():
    def parts(**head):
        model = build(head=head)
        model.positives.copy_(torch.arange(20)[:, None].add(torch.arange(1, 4)) % 20)
        return {key for key in model(*make_batch([1, 2]), mode="loss") if "loss" in key}

    cross = {"loss_visual_to_audio", "loss_audio_to_visual"}
    within = {"loss_visual_to_visual", "loss_audio_to_audio"}
    agreement = {"loss_visual_agreement", "loss_audio_agreement"}
    assert parts() == cross | agreement
    assert parts(agreement_weight=0.0) == cross
    assert parts(self_weight=1.0) == cross | within | agreement


def test_lambda_of_zero_is_plain_avid():
    losses = []
    for weight in (0.0, 1.0):
        model = build(head=dict(agreement_weight=weight))
        if weight == 0:
            model.positives.copy_(torch.arange(20)[:, None].add(torch.arange(1, 4)) % 20)
            model.positives.fill_(-1)
        losses.append(total(model(*make_batch([1, 2]), mode="loss")))
    assert torch.equal(*losses)


def test_closed_form():
    """All embeddings and rows at right angles: e = 1, Z = 1, K + 1 to guess from."""
    model = build(num_videos=20, num_positives=0).eval()
    for bank in model.banks.values():
        bank.entries.zero_()
    losses = model(*make_batch([1, 2, 3]), mode="loss")
    k = 12
    want = -math.log(1 / (k + 1)) - k * math.log(k / (k + 1))
    assert total(losses).item() == pytest.approx(want, rel=1e-5)


def test_gradient_reaches_both_encoders_and_no_bank():
    model = build()
    total(model(*make_batch([1, 2, 3]), mode="loss")).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    assert not any(bank.entries.requires_grad for bank in model.banks.values())


def test_a_video_that_never_came_is_not_compared_with():
    """Its rows are made such that the loss would be no number."""
    model = build(num_videos=9, num_positives=2)
    came = torch.tensor([0, 2, 3, 4, 7])
    model.visited[came] = 1
    assert model.leave_out_unvisited() == 4
    left_out = torch.tensor([1, 5, 6, 8])
    for bank in model.banks.values():
        bank.entries[left_out] = torch.nan
    inputs, samples = make_batch([0, 2, 7])
    for _ in range(3):
        losses = model.loss(inputs, samples)
        assert all(value.isfinite() for value in losses.values())
    model.visited[5] = 1  # it has come after all
    assert model.leave_out_unvisited() == 3 and model.left_out.tolist()[5] == -1


def test_who_comes_is_noted_and_kept():
    model = build(num_videos=9)
    model.loss(*make_batch([1, 4, 8]))
    assert (model.visited > 0).nonzero().flatten().tolist() == [1, 4, 8]
    model.leave_out_unvisited()
    other = build(num_videos=9)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.left_out, model.left_out) and (model.left_out > 0).sum() == 6
    old = {k: v for k, v in model.state_dict().items() if k not in ("visited", "left_out")}
    other.load_state_dict(old)  # of a checkpoint without them all videos have come
    assert (other.visited == 1).all() and (other.left_out == -1).all()


def test_banks_rest_in_evaluation():
    model = build().eval()
    before = copy.deepcopy(model.state_dict())
    model(*make_batch([1, 2]), mode="loss")
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_all_clips_of_a_video_move_the_same_row():
    model = build()
    before = model.banks["audio"].entries.clone()
    for seed in range(3):
        model(*make_batch([4], seed=seed), mode="loss")
    moved = (model.banks["audio"].entries != before).any(dim=1).nonzero().flatten().tolist()
    assert moved == [4]


@pytest.mark.parametrize(("pooling", "num_layers"), [("max", 3), ("avg", 1)])
def test_predict(pooling, num_layers):
    model = build(head=dict(pooling=pooling, num_layers=num_layers)).eval()
    layers = [m for m in model.head.projections["audio"] if isinstance(m, torch.nn.Linear)]
    assert len(layers) == num_layers
    inputs, samples = make_batch([1, 2, 3])
    clips = {key: torch.stack([x, x.flip(0)], dim=1) for key, x in inputs.items()}
    single = model(inputs, samples, mode="predict")
    double = model(clips, mode="predict")
    maps = model(inputs)
    for i in range(3):
        for name in ("visual", "audio"):
            positions = maps[f"{name}_map"][i].flatten(1)
            feature = positions.amax(dim=1) if pooling == "max" else positions.mean(dim=1)
            torch.testing.assert_close(single[i].get(f"{name}_feature"), feature)
            hidden = model.head.projections[name](feature[None])
            key = f"{name}_embedding"
            torch.testing.assert_close(single[i].get(key), F.normalize(hidden, dim=1)[0])
            both = (single[i].get(key) + single[2 - i].get(key)) / 2
            torch.testing.assert_close(double[i].get(key), F.normalize(both, dim=0))


def test_class_activation_is_each_position_against_the_other_modality():
    model = build().eval()
    inputs, samples = make_batch([1, 2, 3])
    maps = model(inputs)
    for i, sample in enumerate(model(inputs, samples, mode="predict")):
        for name, other in (("visual", "audio"), ("audio", "visual")):
            (activation,) = sample.get(f"guided_{name}_attention")
            feature_map = maps[f"{name}_map"][i]
            assert activation.shape == feature_map.shape[1:]
            for place in np.ndindex(*activation.shape):
                position = feature_map[(slice(None), *place)]
                embedding = F.normalize(model.head.projections[name](position[None])[0], dim=0)
                cosine = embedding @ sample.get(f"{other}_embedding")
                torch.testing.assert_close(activation[place], (1 + cosine) / 2)


def test_checkpoint_brings_banks_positives_and_z():
    model = build()
    model.bind_list(20, b"a" * 32, seed=3)
    model.positives.copy_(torch.arange(20)[:, None].add(torch.arange(1, 4)) % 20)
    model(*make_batch([1, 2]), mode="loss")
    state = model.state_dict()
    for num_videos in (None, 20):
        other = build(num_videos)
        other.load_state_dict(state)
        for key, value in other.state_dict().items():
            assert torch.equal(value, state[key]), key
        batch = make_batch([5, 6], seed=1)
        first = model.eval()(*batch, mode="loss")
        assert torch.equal(total(other.eval()(*batch, mode="loss")), total(first))


def test_cma_starts_from_avid():
    """From a checkpoint without positives: banks and Z stay, positives are still to be mined."""
    avid = build(num_positives=0)
    avid.bind_list(20, b"a" * 32, seed=3)
    avid(*make_batch([1, 2]), mode="loss")
    cma = build(None)
    cma.bind_list(20, b"a" * 32, seed=4)
    cma.load_state_dict(avid.state_dict())
    assert torch.equal(cma.banks["visual"].entries, avid.banks["visual"].entries)
    assert torch.equal(cma.head.loss_nce.z, avid.head.loss_nce.z)
    assert cma.positives.shape == (20, 3) and (cma.positives == -1).all()


def test_weights_of_a_run_load_without_its_list(tmp_path):
    """As for evaluation: the banks take the size that they have in the file."""
    model = build()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "avid.pth")
    other = build(None)
    load_weights(other, tmp_path / "avid.pth")
    assert torch.equal(other.banks["audio"].entries, model.banks["audio"].entries)
    with pytest.raises(RuntimeError, match=r"banks.audio.entries \(file \(20, 8\), module"):
        load_weights(build(21), tmp_path / "avid.pth")


@pytest.mark.parametrize(("num_videos", "digest"), [(20, b"b" * 32), (21, b"c" * 32)])
def test_banks_of_another_list_are_refused(num_videos, digest):
    model = build()
    model.bind_list(20, b"a" * 32, seed=3)
    other = build(None)
    other.bind_list(num_videos, digest, seed=3)
    with pytest.raises(RuntimeError, match="belong to another list of training videos"):
        other.load_state_dict(model.state_dict())


def test_refuses():
    with pytest.raises(ValueError, match="weights must not be negative"):
        build(head=dict(cross_weight=0.0))
    with pytest.raises(ValueError, match="weights must not be negative"):
        build(head=dict(self_weight=-1.0))
    with pytest.raises(ValueError, match="num_agreement_negatives <= num_negatives"):
        build(head=dict(num_agreement_negatives=13))
    with pytest.raises(RuntimeError, match="MemoryBankHook"):
        build(None)(*make_batch([1]), mode="loss")
    with pytest.raises(ValueError, match="sample_idx 20 is outside"):
        build()(*make_batch([1, 20]), mode="loss")
    inputs, samples = make_batch([1, 2])
    two = {key: torch.stack([x, x], dim=1) for key, x in inputs.items()}
    with pytest.raises(ValueError, match=r"AVID trains on 1 clip\(s\) a video here, got 2"):
        build()(two, samples, mode="loss")
    model = build(4, num_positives=3)
    model.positives.copy_(torch.tensor([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]))
    with pytest.raises(ValueError, match="none is left as negative"):
        model(*make_batch([1]), mode="loss")


ROWS = [4, 0, 4, 17, 9]  # a video twice, on different ranks; uneven: 3 + 2


def _step_on_rank(rank):
    torch.manual_seed(rank)
    model = build().eval()
    model.positives.copy_(torch.arange(20)[:, None].add(torch.arange(1, 4)) % 20)
    for module in (model, model.head.loss_nce):  # training, with batch norm in eval mode
        module.training = True
    losses = []
    for seed in range(2):
        batch = make_batch(ROWS, seed, global_batch_size=5)
        part = slice_batch(batch, 3 * rank, 3 + 2 * rank)
        losses.append(total(model(*part, mode="loss")).detach())
    return dict(losses=torch.stack(losses), state=model.state_dict())


def test_two_ranks_are_as_one(tmp_path):
    ranks = on_two_ranks(_step_on_rank, tmp_path)
    one = _step_on_one()
    # As DistributedDataParallel averages over ranks.
    torch.testing.assert_close((ranks[0]["losses"] + ranks[1]["losses"]) / 2, one["losses"])
    for key, value in one["state"].items():
        assert torch.equal(ranks[0]["state"][key], ranks[1]["state"][key]), key
        torch.testing.assert_close(ranks[0]["state"][key], value, msg=key)


def _step_on_one():
    model = build().eval()
    model.positives.copy_(torch.arange(20)[:, None].add(torch.arange(1, 4)) % 20)
    for module in (model, model.head.loss_nce):
        module.training = True
    losses = [
        total(model(*make_batch(ROWS, seed, global_batch_size=5), mode="loss")).detach()
        for seed in range(2)
    ]
    return dict(losses=torch.stack(losses), state=model.state_dict())
