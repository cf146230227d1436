"""Two real gloo processes against one: same keys, same queue, same gradients."""

import copy
import dataclasses
from functools import partial

import pytest
import torch
import torch.distributed as torch_dist
from helpers.batches import slice_batch, total
from helpers.cmac_models import build, make_batch
from helpers.ranks import on_two_ranks
from mmaction.structures import ActionDataSample
from mmengine import dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from cmac_mm.utils.dist import RankBatch, exchange_rows


def _moco_step(rank):
    torch.manual_seed(rank)  # ranks draw different shuffles, rank 0's must win
    model = build(attention=False, shuffle_bn=False).eval()
    state = copy.deepcopy(model.state_dict())
    model.load_state_dict(state)
    model.training = True  # enqueue, with batch norm in eval mode: comparable to one process
    losses = model(*slice_batch(make_batch(6), 3 * rank, 3 * rank + 3), mode="loss")
    queue = model.queues["visual"]
    return dict(
        keys=queue.keys, rows=queue.sample_idx, pointer=queue.pointer, loss=total(losses).detach()
    )


def test_queue_holds_the_keys_of_all_ranks_in_order(tmp_path):
    ranks = on_two_ranks(_moco_step, tmp_path)
    model = build(attention=False).eval()
    model.training = True
    loss = total(model(*make_batch(6), mode="loss"))
    queue = model.queues["visual"]
    for rank in ranks:
        torch.testing.assert_close(rank["keys"], queue.keys)
        assert rank["rows"].tolist() == [0, 1, 2, 3, 4, 5, -1, -1, -1, -1]
        assert rank["pointer"] == 6
    torch.testing.assert_close((ranks[0]["loss"] + ranks[1]["loss"]) / 2, loss)


def whole_batch(size):
    """A batch of one rank."""
    return RankBatch.from_samples(make_batch(size)[1], size, torch.device("cpu"))


def _shuffled_keys(rank):
    torch.manual_seed(rank)
    model = build()
    encoder = model.key_encoders["audio"].train()
    seen = []
    encoder.backbone.register_forward_pre_hook(lambda _module, args: seen.append(args[0].clone()))
    inputs, samples = slice_batch(make_batch(8), 4 * rank, 4 * rank + 4)
    audio, batch = inputs["audio"], RankBatch.from_samples(samples, 4, torch.device("cpu"))
    keys, all_keys = encoder(audio, batch)
    encoder.shuffle_bn = False
    plain, _ = encoder(audio, batch)
    encoder.eval()
    encoder.shuffle_bn = True
    evaluated, _ = encoder(audio, batch)
    encoder.shuffle_bn = False
    return dict(
        seen=seen[0],
        keys=keys,
        all_keys=all_keys,
        plain=plain,
        eval_differs=(evaluated - encoder(audio, batch)[0]).abs().max(),
    )


def test_shuffled_batch_norm(tmp_path):
    """Each rank normalises over a shuffled share, and still gets the keys of its own batch."""
    ranks = on_two_ranks(_shuffled_keys, tmp_path)
    audio = make_batch(8)[0]["audio"]
    seen = torch.cat([rank["seen"] for rank in ranks])
    order = [next(i for i in range(8) if torch.equal(audio[i], x)) for x in seen]
    assert sorted(order) == list(range(8))
    assert set(order[:4]) != {0, 1, 2, 3}  # really mixed between the ranks

    encoder = build().key_encoders["audio"].train()
    expected = torch.empty(8, 8)
    for share in (order[:4], order[4:]):
        expected[share] = encoder(audio[share], whole_batch(4))[0]
    for index, rank in enumerate(ranks):
        torch.testing.assert_close(rank["all_keys"], expected)
        torch.testing.assert_close(rank["keys"], expected[4 * index : 4 * index + 4])
        assert not torch.allclose(rank["plain"], rank["keys"])  # own batch: other statistics
        assert rank["eval_differs"] == 0


SIZES = (5, 3)


def _shuffled_bytes(rank):
    """Keys of clips from bytes: what leaves this rank, and what the float clips give."""
    data_preprocessor = dict(type="AudioVisualDataPreprocessor")
    model = build(data_preprocessor=data_preprocessor).train()
    part = slice(5 * rank, 5 + 3 * rank)
    imgs = torch.randint(0, 256, (8, 3, 8, 32, 32), generator=torch.Generator().manual_seed(0))
    meta = dict(sample_idx=0, batch_seed=77)
    samples = [ActionDataSample(metainfo=meta) for _ in range(SIZES[rank])]
    data = dict(inputs=dict(imgs=imgs[part].byte()), data_samples=samples)
    clips = model.data_preprocessor(data, training=True)["inputs"]["imgs"]
    batch = RankBatch.from_samples(samples, len(clips), clips.device)
    batch = dataclasses.replace(batch, sizes=SIZES)  # more uneven than the sampler's
    sent, exchange = [], torch_dist.all_to_all_single

    def counted(received, leaving, output_split_sizes, input_split_sizes):
        own = input_split_sizes[rank] * leaving[0].numel()
        sent.append((leaving.numel() - own) * leaving.element_size())
        return exchange(received, leaving, output_split_sizes, input_split_sizes)

    torch_dist.all_to_all_single = counted
    encoder = model.key_encoders["visual"]
    states = copy.deepcopy(encoder.state_dict())
    as_bytes = encoder(clips, batch, model.data_preprocessor)[1]
    encoder.load_state_dict(states)
    as_floats = encoder(clips, batch)[1]
    torch_dist.all_to_all_single = exchange
    everything = exchange_rows(batch.rows + torch.arange(len(clips)) + 5 * rank, ORDER, SIZES)
    return dict(sent=sent, as_bytes=as_bytes, as_floats=as_floats, rows=everything)


ORDER = torch.tensor([6, 0, 2, 7, 3, 1, 5, 4])


def test_only_what_another_rank_needs_travels_and_as_bytes(tmp_path):
    ranks = on_two_ranks(_shuffled_bytes, tmp_path)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(77))
    for index, (rank, share) in enumerate(zip(ranks, order.split(SIZES), strict=True)):
        assert torch.equal(rank["as_bytes"], rank["as_floats"])
        assert torch.equal(rank["as_bytes"], ranks[0]["as_bytes"])
        own = range(5 * index, 5 + 3 * index)
        leaving = len(set(own) - set(share.tolist()))
        clip = 3 * 8 * 32 * 32
        assert rank["sent"] == [leaving * clip, 4 * leaving * clip]
        assert rank["rows"].tolist() == ORDER.split(SIZES)[index].tolist()


def _queue_free_gradient(rank):
    model = build(dict(in_batch_negatives=True), False, queue_size=0).eval()
    total(model(*slice_batch(make_batch(6), 3 * rank, 3 * rank + 3), mode="loss")).backward()
    gradients = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad, "mean")  # what DistributedDataParallel does
            gradients[name] = parameter.grad
    return gradients


def test_queue_free_gradients_are_those_of_one_process(tmp_path):
    ranks = on_two_ranks(_queue_free_gradient, tmp_path)
    model = build(dict(in_batch_negatives=True), False, queue_size=0).eval()
    total(model(*make_batch(6), mode="loss")).backward()
    expected = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert ranks[0].keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(ranks[0][name], gradient, rtol=1e-3, atol=1e-6)


def _train_wrapped(rank, options, find_unused_parameters):
    torch.manual_seed(0)
    model = build(*options)
    wrapped = MMDistributedDataParallel(
        model,
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=find_unused_parameters,
    )
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    for step in range(3):
        inputs, samples = slice_batch(make_batch(6, seed=step), 3 * rank, 3 * rank + 3)
        logs = wrapped.train_step(dict(inputs=inputs, data_samples=samples), optimizer)
    state = {key: value for key, value in model.state_dict().items() if "running" not in key}
    return dict(loss=logs["loss"].detach(), state=state)


@pytest.mark.parametrize(
    ("options", "find_unused_parameters"),
    [((None, None), False), ((None, False), False), ((False, None), True)],
    ids=["full", "wo-attention", "wo-contrast"],
)
def test_ranks_stay_equal_in_training(options, find_unused_parameters, tmp_path):
    """Weights, key encoders and queues of both ranks are the same after some steps."""
    function = partial(
        _train_wrapped, options=options, find_unused_parameters=find_unused_parameters
    )
    first, second = on_two_ranks(function, tmp_path)
    assert first["loss"].isfinite() and second["loss"].isfinite()
    for key, value in first["state"].items():
        if "num_batches" not in key:
            assert torch.equal(value, second["state"][key]), key


@pytest.mark.parametrize("size", [1, 3])
def test_one_process_needs_no_group(size):
    keys, all_keys = build().key_encoders["audio"](make_batch(size)[0]["audio"], whole_batch(size))
    assert torch.equal(keys, all_keys)
