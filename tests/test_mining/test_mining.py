"""Mining of positives against a loop."""

import pytest
import torch
import torch.nn.functional as F
from helpers.ranks import on_two_ranks

from cmac_mm.mining.agreement import mine_positives, mine_positives_on_all_ranks

MODES = {
    "min": min,
    "max": max,
    "visual": lambda visual, audio: visual,
    "audio": lambda visual, audio: audio,
}


def random_banks(size, channels=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    banks = torch.randn(2, size, channels, generator=generator)
    return F.normalize(banks, dim=2)


def brute_force(visual, audio, num_positives, mode="min"):
    """One pair after the other, in double precision."""
    rows = []
    products = [[(x @ x.T).float().tolist()] for x in (visual.double(), audio.double())]
    (v,), (a,) = products
    for i in range(len(visual)):
        scores = [(-MODES[mode](v[i][j], a[i][j]), j) for j in range(len(visual)) if j != i]
        best = [j for _, j in sorted(scores)][:num_positives]
        rows.append(best + [-1] * (num_positives - len(best)))
    return torch.tensor(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, None])
@pytest.mark.parametrize("size", [2, 3, 33, 211, 401])
@pytest.mark.parametrize("mode", MODES)
def test_is_what_a_loop_finds(size, mode, dtype):
    banks = random_banks(size)
    found = mine_positives(*banks, num_positives=8, mode=mode, chunk_size=7, dtype=dtype)
    assert found.tolist() == brute_force(*banks, 8, mode).tolist()


@pytest.mark.parametrize("chunk_size", [1, 5, 64, 1000])
def test_chunks_make_no_difference(chunk_size):
    banks = random_banks(300, 128)
    found = mine_positives(*banks, chunk_size=chunk_size)
    assert torch.equal(found, brute_force(*banks, 32))


@pytest.mark.parametrize("order", ["as they are", "worst", "best"])
def test_order_of_the_list_makes_no_difference(order):
    """Neighbours that come ever nearer fill the pool of candidates, block after block."""
    angle = torch.linspace(1.5, 0.01, 600, dtype=torch.double)
    angle = {"as they are": angle[torch.randperm(600)], "worst": angle, "best": angle.flip(0)}[
        order
    ]
    bank = torch.stack([angle.cos(), angle.sin(), torch.zeros(600)], 1).float()
    found = mine_positives(bank, bank, num_positives=4, chunk_size=3)
    assert torch.equal(found, brute_force(bank, bank, 4))


@pytest.mark.parametrize("spread", [0.1, 0.01, 1e-4, 1e-6])
def test_collapsed_banks(spread):
    """All rows nearly alike: bfloat16 cannot tell them apart, nor can float32 at the end."""
    visual, audio = random_banks(400, 16)
    visual, audio = (F.normalize(x[:1] + spread * x, dim=1) for x in (visual, audio))
    found = mine_positives(visual, audio, num_positives=5, chunk_size=4)
    assert torch.equal(found, brute_force(visual, audio, 5))


def test_twins_are_positives_in_the_order_of_the_list():
    visual, audio = random_banks(10)
    visual[[3, 7, 9]], audio[[3, 7, 9]] = visual[3].clone(), audio[3].clone()
    found = mine_positives(visual, audio, num_positives=2)
    assert found[[3, 7, 9]].tolist() == [[7, 9], [3, 9], [3, 7]]
    same = torch.ones(300, 4) / 2
    found = mine_positives(same, same, num_positives=3, chunk_size=2)
    assert torch.equal(found, brute_force(same, same, 3))


def test_closed_form():
    """Rows at angles i * 10 and (N - i) * i degrees: agreement is that of the worse modality."""
    visual = torch.tensor([0.0, 10.0, 20.0, 90.0]).deg2rad()
    audio = torch.tensor([0.0, 80.0, 30.0, 1.0]).deg2rad()
    banks = [torch.stack([x.cos(), x.sin()], 1) for x in (visual, audio)]
    # The larger of the two angles to row 0: 80, 30, 90.
    assert mine_positives(*banks, num_positives=3)[0].tolist() == [2, 1, 3]
    assert mine_positives(*banks, num_positives=3, mode="max")[0].tolist() == [3, 1, 2]


@pytest.mark.parametrize("length", [0.01, 1.0, 30.0])
def test_rows_need_not_be_of_length_one(length):
    banks = random_banks(150) * length
    assert torch.equal(mine_positives(*banks, chunk_size=6), brute_force(*banks, 32))


def test_products_in_few_bits_are_allowed_for():
    """As the training with TF32 leaves PyTorch set."""
    banks = random_banks(200)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = mine_positives(*banks, dtype=torch.float32, chunk_size=8)
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, brute_force(*banks, 32))


@pytest.mark.parametrize("mode", ["min", "visual"])
def test_videos_left_out(mode):
    """As in a loop over the others; where fewer are left than wanted, -1."""
    visual, audio = random_banks(41)
    left_out = torch.zeros(41, dtype=torch.bool)
    left_out[[0, 7, 8, 40]] = True
    kept = (~left_out).nonzero().squeeze(1)
    alone = brute_force(visual[kept], audio[kept], 5, mode)
    got = mine_positives(visual, audio, 5, mode, chunk_size=8, left_out=left_out)
    assert torch.equal(got[kept], kept[alone]) and (got[left_out] == -1).all()
    few = torch.ones(41, dtype=torch.bool)
    few[[3, 9, 30]] = False
    got = mine_positives(visual, audio, 5, mode, left_out=few)
    assert sorted(got[9].tolist()) == [-1, -1, -1, 3, 30] and (got[0] == -1).all()


def test_some_rows():
    banks = random_banks(100)
    whole = mine_positives(*banks, num_positives=6, chunk_size=8)
    for rows in (slice(10, 47), slice(5, 5), torch.tensor([99, 0, 42])):
        part = mine_positives(*banks, num_positives=6, chunk_size=8, rows=rows)
        assert torch.equal(part, whole[rows])


def _mine_on_rank(rank):
    return mine_positives_on_all_ranks(*random_banks(51), num_positives=4)


def test_two_ranks_find_what_one_finds(tmp_path):
    expected = mine_positives(*random_banks(51), num_positives=4)
    for found in on_two_ranks(_mine_on_rank, tmp_path):
        assert torch.equal(found, expected)
    assert torch.equal(_mine_on_rank(0), expected)


def test_bad_arguments_are_refused():
    visual, audio = random_banks(5)
    with pytest.raises(ValueError, match=r"N >= 2, got \(5, 16\) and \(4, 16\)"):
        mine_positives(visual, audio[:4])
    with pytest.raises(ValueError, match=r"mode must be one of .* got 'mean'"):
        mine_positives(visual, audio, mode="mean")
    with pytest.raises(ValueError, match=r"num_positives and chunk_size must be .* 0, 512"):
        mine_positives(visual, audio, num_positives=0)
    with pytest.raises(ValueError, match="dtype must be"):
        mine_positives(visual, audio, dtype=torch.int8)
    with pytest.raises(ValueError, match="audio_bank holds values"):
        mine_positives(visual, audio.clone().fill_(float("nan")))
