import pytest
import torch
from mmaction.registry import MODELS
from torchvision.models.video import r2plus1d_18

import cmac_mm  # noqa: F401
from cmac_mm.models import AudioResNet, R2Plus1D
from cmac_mm.models.layers import SafeConv3d


def _randomise_norms(module):
    """Batch norms that do something, also in eval mode."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, std=0.1)
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)


def test_r2plus1d_is_torchvisions():
    peer = r2plus1d_18().double()
    _randomise_norms(peer)
    ours = R2Plus1D().double()
    state = {key: value for key, value in peer.state_dict().items() if not key.startswith("fc.")}
    ours.load_state_dict(state)  # strict: every key name is torchvision's
    clip = torch.randn(2, 3, 8, 32, 32, dtype=torch.float64)
    for training in (True, False):
        ours.train(training), peer.train(training)
        expected = peer.layer4(peer.layer3(peer.layer2(peer.layer1(peer.stem(clip)))))
        torch.testing.assert_close(ours(clip), expected, rtol=0, atol=1e-9)


def test_r2plus1d_strides_of_cmac():
    net = R2Plus1D(base_channels=8).eval()
    assert net(torch.randn(1, 3, 32, 128, 128)).shape == (1, 64, 4, 8, 8)
    assert net.out_channels == 64


def test_caffe2_variant_recomputes_middle_channels():
    ours, torchvisions = R2Plus1D("caffe2").state_dict(), R2Plus1D().state_dict()
    assert ours.keys() == torchvisions.keys()
    differing = {key for key in ours if ours[key].shape != torchvisions[key].shape}
    assert {key.rsplit(".", 2)[0] for key in differing} == {
        f"layer{stage}.0.conv2.0" for stage in (2, 3, 4)
    }
    mids = [ours[f"layer{stage}.0.conv2.0.0.weight"].shape[0] for stage in (2, 3, 4)]
    assert mids == [288, 576, 1152]
    assert {m.eps for m in R2Plus1D("caffe2").modules() if hasattr(m, "running_mean")} == {1e-3}


def test_avid_variant():
    net = R2Plus1D("avid", out_indices=(0, 1, 2, 3))
    assert sum(p.numel() for p in net.parameters()) == 15_379_136
    with torch.no_grad():
        shapes = [tuple(x.shape[1:]) for x in net.eval()(torch.randn(1, 3, 8, 224, 224))]
    assert shapes == [(64, 8, 56, 56), (128, 4, 28, 28), (256, 2, 14, 14), (512, 1, 7, 7)]
    expected = {"conv1.0.weight", "conv5x.1.out_bn.bias", "conv3x.0.res_conv.weight"}
    expected |= {f"conv2x.1.{n}.weight" for n in ("spt_conv1", "tmp_bn1", "spt_bn2", "tmp_conv2")}
    assert expected <= net.state_dict().keys()
    assert "conv2x.0.res_conv.weight" not in net.state_dict()


def test_avid_block_written_out():
    net = R2Plus1D("avid", base_channels=4).double().eval()
    _randomise_norms(net)
    block = net.conv3x[0]
    x = torch.randn(2, 4, 4, 6, 6, dtype=torch.float64)

    def conv(x, layer, stride, padding):
        return torch.nn.functional.conv3d(x, layer.weight, None, stride, padding)

    def norm(x, layer):
        shape = (1, -1, 1, 1, 1)
        x = (x - layer.running_mean.view(shape)) / (layer.running_var.view(shape) + 1e-5).sqrt()
        return x * layer.weight.view(shape) + layer.bias.view(shape)

    out = norm(conv(x, block.spt_conv1, (1, 2, 2), (0, 1, 1)), block.spt_bn1).clamp(min=0)
    out = norm(conv(out, block.tmp_conv1, (2, 1, 1), (1, 0, 0)), block.tmp_bn1).clamp(min=0)
    out = norm(conv(out, block.spt_conv2, 1, (0, 1, 1)), block.spt_bn2).clamp(min=0)
    out = conv(out, block.tmp_conv2, 1, (1, 0, 0)) + conv(x, block.res_conv, 2, 0)
    torch.testing.assert_close(block(x), norm(out, block.out_bn).clamp(min=0))


@pytest.mark.parametrize(("depth", "millions"), [(9, 4.90), (18, 11.17)])
def test_audio_resnet(depth, millions):
    net = AudioResNet(depth)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert net(torch.randn(2, 1, 257, 100)).shape == (2, 512, 9, 4)
    assert {"conv1.weight", "layer4.0.downsample.1.bias"} <= net.state_dict().keys()


@pytest.mark.parametrize("backbone", ["R2Plus1D", "AudioResNet"])
def test_initialisation_is_kaiming_fan_out(backbone):
    net = MODELS.build(dict(type=backbone))
    net.init_weights()
    for name, layer in net.named_modules():
        if isinstance(layer, torch.nn.modules.conv._ConvNd) and layer.weight.numel() > 5000:
            fan_out = layer.weight.numel() / layer.in_channels
            expected = (2 / fan_out) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.1), name


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        (dict(variant="vmz"), "'vmz'"),
        (dict(depth=34), "34"),
        (dict(out_indices=(4,)), "4"),
        (dict(strides=(1, 2)), "4 values"),
    ],
)
def test_r2plus1d_refuses(kwargs, match):
    with pytest.raises(ValueError, match=match):
        R2Plus1D(**kwargs)


def test_audio_resnet_refuses():
    with pytest.raises(ValueError, match="50"):
        AudioResNet(50)


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_bfloat16_gradients_on_cpu(frames):
    """Without SafeConv3d the case of two frames is wrong or NaN (torch 2.11, AVX512-BF16)."""
    torch.manual_seed(0)
    conv = SafeConv3d(16, 16, (3, 1, 1), padding=(1, 0, 0), bias=False)
    x = torch.randn(2, 16, frames, 6, 6)
    target = torch.randn(2, 16, frames, 6, 6)
    (conv(x) * target).sum().backward()
    expected, conv.weight.grad = conv.weight.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        (conv(x) * target).sum().backward()
    error = (conv.weight.grad - expected).norm() / expected.norm()
    assert error < 0.02


@pytest.mark.parametrize("clip_frames", [8, 16])
def test_bfloat16_training_step_on_cpu(clip_frames):
    """8 and 16 frames leave 1 and 2 in the last stage."""
    torch.manual_seed(0)
    net = R2Plus1D(base_channels=8).eval()
    clip = torch.randn(2, 3, clip_frames, 32, 32)
    net(clip).square().sum().backward()
    expected = net.layer4[1].conv2[0][3].weight.grad.clone()
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        net(clip).square().sum().backward()
    error = (net.layer4[1].conv2[0][3].weight.grad - expected).norm() / expected.norm()
    assert error < 0.1
