"""Files as the peers write them, converted, against networks of torchvision and plain PyTorch."""

import argparse
import collections
import subprocess

import pytest
import torch
import torchvision
from helpers.tools_in_process import run_tool
from torch import nn

from cmac_mm.apis import convert_checkpoint
from cmac_mm.models import AudioResNet, AVIDAudioNet, R2Plus1D
from cmac_mm.utils import load_checkpoint, load_weights


def randomise(module: nn.Module) -> nn.Module:
    """Weights of a trained network's size, and batch norm statistics that are not 0 and 1."""
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("num_batches_tracked"):
            value.fill_(7)
        elif value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5)
        else:
            value.uniform_(-0.3, 1)
    return module.eval()


def torchvision_net() -> nn.Module:
    net = torchvision.models.video.r2plus1d_18(weights=None)
    net.avgpool = net.fc = nn.Identity()
    return randomise(net)


def caffe2_net() -> nn.Module:
    """VMZ's: other middle channels in the second convolution of three blocks, eps 1e-3."""
    net = torchvision_net()
    for stage, channels, middle in ((2, 128, 288), (3, 256, 576), (4, 512, 1152)):
        conv = net.get_submodule(f"layer{stage}.0.conv2.0")
        conv[0] = nn.Conv3d(channels, middle, (1, 3, 3), padding=(0, 1, 1), bias=False)
        conv[1] = nn.BatchNorm3d(middle)
        conv[3] = nn.Conv3d(middle, channels, (3, 1, 1), padding=(1, 0, 0), bias=False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3
    return randomise(net)


class AvidBlock(nn.Module):
    def __init__(self, channels, planes, stride):
        super().__init__()
        pads = dict(spt=dict(kernel_size=(1, 3, 3), padding=(0, 1, 1), bias=False))
        pads["tmp"] = dict(kernel_size=(3, 1, 1), padding=(1, 0, 0), bias=False)
        self.spt_conv1 = nn.Conv3d(channels, planes, stride=(1, stride, stride), **pads["spt"])
        self.spt_bn1 = nn.BatchNorm3d(planes)
        self.tmp_conv1 = nn.Conv3d(planes, planes, stride=(stride, 1, 1), **pads["tmp"])
        self.tmp_bn1 = nn.BatchNorm3d(planes)
        self.spt_conv2 = nn.Conv3d(planes, planes, **pads["spt"])
        self.spt_bn2 = nn.BatchNorm3d(planes)
        self.tmp_conv2 = nn.Conv3d(planes, planes, **pads["tmp"])
        self.out_bn = nn.BatchNorm3d(planes)
        if stride > 1:
            self.res_conv = nn.Conv3d(channels, planes, 1, stride=stride, bias=False)

    def forward(self, x):
        out = self.spt_bn1(self.spt_conv1(x)).relu()
        out = self.tmp_bn1(self.tmp_conv1(out)).relu()
        out = self.tmp_conv2(self.spt_bn2(self.spt_conv2(out)).relu())
        return self.out_bn(out + (self.res_conv(x) if hasattr(self, "res_conv") else x)).relu()


def avid_net() -> nn.Module:
    parts = collections.OrderedDict(
        conv1=nn.Sequential(
            nn.Conv3d(3, 64, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(64),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
    )
    channels = 64
    for number, planes in ((2, 64), (3, 128), (4, 256), (5, 512)):
        first = AvidBlock(channels, planes, 1 if number == 2 else 2)
        parts[f"conv{number}x"] = nn.Sequential(first, AvidBlock(planes, planes, 1))
        channels = planes
    return randomise(nn.Sequential(parts))


def avid_audio_net() -> nn.Module:
    """Nine convolutions with batch norm and ReLU, over time before frequency."""

    def conv(channels, planes, size, stride):
        return nn.Conv2d(channels, planes, size, stride, size // 2, bias=False)

    stem = nn.Sequential(conv(1, 64, 7, 2), nn.BatchNorm2d(64), nn.ReLU())
    parts, channels = {"conv1": stem}, 64
    for block, planes in ((1, 64), (2, 128), (3, 256), (4, 512)):
        layers = {"conv1": conv(channels, planes, 3, 1 if block == 4 else 2)}
        layers |= {"bn1": nn.BatchNorm2d(planes), "relu1": nn.ReLU()}
        layers |= {"conv2": conv(planes, planes, 3, 1), "bn2": nn.BatchNorm2d(planes)}
        layers |= {"relu2": nn.ReLU()}
        parts[f"block{block}"] = nn.Sequential(collections.OrderedDict(layers))
        channels = planes
    return randomise(nn.Sequential(collections.OrderedDict(parts)))


class ResNet9(nn.Module):
    """torchvision's parts, by hand: one basic block a stage, one channel in."""

    def __init__(self):
        super().__init__()
        net = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
        net.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.net = randomise(net)

    def forward(self, x):
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def mlp_state(prefix: str) -> dict:
    shapes = {"2.weight": (512, 512), "2.bias": (512,), "8.weight": (256, 512)}
    bn = {f"4.{key}": value for key, value in nn.BatchNorm1d(512).state_dict().items()}
    parts = {key: torch.zeros(shape) for key, shape in shapes.items()} | bn
    return {f"{prefix}.block_forward.{key}": value for key, value in parts.items()}


def prefixed(prefix: str, state: dict) -> dict:
    return {prefix + key: value for key, value in state.items()}


def write_torchvision(path):
    net = torchvision_net()
    torch.save(net.state_dict() | nn.Linear(512, 400).state_dict(prefix="fc."), path)
    return net, None


def write_xdc(path):
    net = caffe2_net()
    torch.save(net.state_dict(), path)
    return net, None


def write_avid(path):
    net, audio = avid_net(), avid_audio_net()
    assert sum(p.numel() for p in net.parameters()) == 15_379_136
    assert sum(p.numel() for p in audio.parameters()) == 4_725_696
    sizes = ((512, 512), (512, 512), (128, 512))
    heads = {
        f"{kind}_proj.projection.{index}.{part}": torch.zeros(
            size if part == "weight" else size[:1]
        )
        for kind in ("video", "audio")
        for index, size in zip((0, 2, 4), sizes, strict=True)
        for part in ("weight", "bias")
    }
    model = (
        prefixed("video_model.", net.state_dict())
        | prefixed("audio_model.", audio.state_dict())
        | heads
    )
    assert len(model) == 267
    bank = {"nce_average.view1_mem": torch.zeros(4, 128), "criterion.avg_exp_score": torch.ones(1)}
    content = dict(epoch=3, model=prefixed("module.", model), train_criterion=bank)
    torch.save({**content, "optimizer": torch.optim.Adam(net.parameters()).state_dict()}, path)
    return net, audio


def write_gdt(path, extra=None):
    net, audio = torchvision_net(), ResNet9()
    state = prefixed("video_network.base.", net.state_dict())
    state |= prefixed("audio_network.base.", audio.net.state_dict())  # its fc stays in the file
    state |= mlp_state("mlp_v") | mlp_state("mlp_a")
    assert len(state) == 312
    optimizer = torch.optim.SGD(net.stem.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 6])
    net.stem[0].weight.grad = torch.ones(45, 3, 1, 7, 7)
    optimizer.step()  # its momentum is in the schedule's file too, in a defaultdict
    args = argparse.Namespace(lr=0.1, tags=collections.defaultdict(dict, a={}))
    content = dict(model=state, optimizer=optimizer.state_dict(), lr_scheduler=schedule, epoch=2)
    torch.save({**content, "args": args, **(extra or {})}, path)
    return net, audio


def write_selavi(path):
    net, audio = torchvision_net(), ResNet9()
    state = prefixed("video_network.base.", net.state_dict())
    sound = audio.net.state_dict()
    state |= prefixed("audio_network.base.", {k: v for k, v in sound.items() if k[:3] != "fc."})
    for head in range(10):
        state |= mlp_state(f"mlp_v{head}") | mlp_state(f"mlp_a{head}")
    assert len(state) == 454
    dist = [torch.rand(8, 1, dtype=torch.float64)]
    content = dict(epoch=1, dist=dist, model=prefixed("module.", state), optimizer={})
    torch.save(content | dict(selflabels=torch.zeros(5, 10, dtype=torch.long)), path)
    return net, audio


WRITERS = dict(
    torchvision=write_torchvision,
    xdc=write_xdc,
    avid=write_avid,
    gdt=write_gdt,
    selavi=write_selavi,
)


def video_map(net: nn.Module, clip: torch.Tensor) -> torch.Tensor:
    if isinstance(net, nn.Sequential):
        return net(clip)
    return net.layer4(net.layer3(net.layer2(net.layer1(net.stem(clip)))))


@pytest.mark.parametrize("source", WRITERS)
def test_our_backbones_compute_what_the_peers_do(source, tmp_path):
    torch.manual_seed(0)
    net, audio = WRITERS[source](tmp_path / "peer.pth")
    summary = convert_checkpoint(source, tmp_path / "peer.pth", tmp_path / "new/ours.pth")
    meta = load_checkpoint(tmp_path / "new/ours.pth")["meta"]
    assert meta == {key: value for key, value in summary.items() if key != "num_keys"}
    assert meta["licence"] and len(meta["mean"]) == len(meta["std"]) == 3

    config = dict(meta["visual_backbone"])
    assert config.pop("type") == "R2Plus1D"
    ours = R2Plus1D(**config).eval()
    load_weights(ours, tmp_path / "new/ours.pth", prefix="visual_backbone.")
    clip = torch.randn(2, 3, 8, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(clip), video_map(net, clip), rtol=1e-4, atol=1e-4)

    if isinstance(audio, ResNet9):
        assert meta["audio_backbone"] == dict(type="AudioResNet", depth=9)
        ours = AudioResNet(depth=9).eval()
        load_weights(ours, tmp_path / "new/ours.pth", prefix="audio_backbone.")
        sound = torch.randn(2, 1, 257, 99)
        with torch.no_grad():
            torch.testing.assert_close(ours(sound), audio(sound), rtol=1e-4, atol=1e-4)
    elif audio is not None:
        assert meta["audio_backbone"] == dict(type="AVIDAudioNet")
        ours = AVIDAudioNet().eval()
        load_weights(ours, tmp_path / "new/ours.pth", prefix="audio_backbone.")
        sound = torch.randn(2, 1, 257, 200)
        with torch.no_grad():
            got, want = ours(sound), audio(sound.transpose(2, 3)).transpose(2, 3)
        assert got.shape == (2, 512, 17, 13)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    else:
        state = load_checkpoint(tmp_path / "new/ours.pth")["state_dict"]
        assert meta["audio_backbone"] is None
        assert not [key for key in state if key.startswith("audio_backbone.")]


def test_gdt_needs_its_classes_and_no_others_are_let_in(tmp_path):
    write_gdt(tmp_path / "gdt.pth")
    with pytest.raises(RuntimeError, match="is refused"):
        load_checkpoint(tmp_path / "gdt.pth")
    convert_checkpoint("gdt", tmp_path / "gdt.pth", tmp_path / "out.pth")
    with pytest.raises(RuntimeError, match="is refused"):  # the list was not left open
        load_checkpoint(tmp_path / "gdt.pth")

    write_gdt(tmp_path / "bad.pth", extra=dict(run=subprocess.Popen))
    with pytest.raises(RuntimeError, match="Popen"):
        convert_checkpoint("gdt", tmp_path / "bad.pth", tmp_path / "bad_out.pth")
    assert not (tmp_path / "bad_out.pth").exists()


def test_what_does_not_match_is_listed(tmp_path):
    write_xdc(tmp_path / "xdc.pth")
    with pytest.raises(
        RuntimeError,
        match=r"18 of another shape: visual_backbone\.layer2\.0\.conv2",
    ):
        convert_checkpoint("torchvision", tmp_path / "xdc.pth", tmp_path / "out.pth")

    state = load_checkpoint(tmp_path / "xdc.pth")
    del state["stem.1.bias"]
    state["surprise.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(RuntimeError) as error:
        convert_checkpoint("xdc", tmp_path / "odd.pth", tmp_path / "out.pth")
    assert "1 missing in the file: visual_backbone.stem.1.bias" in str(error.value)
    assert "1 unknown to the module: visual_backbone.surprise.weight" in str(error.value)

    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(RuntimeError, match="expected a state dict"):
        convert_checkpoint("xdc", tmp_path / "list.pth", tmp_path / "out.pth")
    with pytest.raises(ValueError, match="unknown source 'moco'"):
        convert_checkpoint("moco", tmp_path / "xdc.pth", tmp_path / "out.pth")
    with pytest.raises(ValueError, match="overwrite"):
        convert_checkpoint("xdc", tmp_path / "xdc.pth", tmp_path / "xdc.pth")
    with pytest.raises(FileNotFoundError):
        convert_checkpoint("xdc", tmp_path / "none.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists()


def test_command(tmp_path, capsys):
    write_avid(tmp_path / "avid.pth")
    run_tool(
        "converters/convert_checkpoint.py", "avid", tmp_path / "avid.pth", tmp_path / "ours.pth"
    )
    output = capsys.readouterr().out
    assert "visual_backbone: 201 entries" in output
    assert "audio_backbone: 54 entries" in output and "dropped: 12 entries" in output
    assert "licence: CC-BY-NC" in output
