"""Two real gloo processes against one: same keys, same queue, same gradients."""

import copy
from functools import partial

import pytest
import torch
from helpers.batches import slice_batch, total
from helpers.cmac_models import build, make_batch
from helpers.ranks import on_two_ranks
from mmengine import dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper


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


def _shuffled_keys(rank):
    torch.manual_seed(rank)
    model = build()
    encoder = model.key_encoders["audio"].train()
    seen = []
    encoder.backbone.register_forward_pre_hook(lambda _module, args: seen.append(args[0].clone()))
    audio = make_batch(8)[0]["audio"][4 * rank : 4 * rank + 4]
    keys, all_keys = encoder(audio)
    encoder.shuffle_bn = False
    plain, _ = encoder(audio)
    encoder.eval()
    encoder.shuffle_bn = True
    evaluated, _ = encoder(audio)
    encoder.shuffle_bn = False
    return dict(
        seen=seen[0],
        keys=keys,
        all_keys=all_keys,
        plain=plain,
        eval_differs=(evaluated - encoder(audio)[0]).abs().max(),
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
        expected[share] = encoder(audio[share])[0]
    for index, rank in enumerate(ranks):
        torch.testing.assert_close(rank["all_keys"], expected)
        torch.testing.assert_close(rank["keys"], expected[4 * index : 4 * index + 4])
        assert not torch.allclose(rank["plain"], rank["keys"])  # own batch: other statistics
        assert rank["eval_differs"] == 0


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
    keys, all_keys = build().key_encoders["audio"](make_batch(size)[0]["audio"])
    assert torch.equal(keys, all_keys)
