"""Labels that the model has no class for end a run before it begins."""

import pytest
from mmengine.runner import Runner

from cmac_mm.utils import load_config

RECOGNITION = "cmac_mm::recognition/cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py"
PROBE = "cmac_mm::linear_probe/cmac_r2plus1d-18_8xb16-32x128-12e_k400.py"


def make_runner(name, shapes, tmp_path, train_lines, test_lines, head):
    cfg = load_config(name)
    cfg.work_dir = str(tmp_path / "work")
    cfg.model.backbone.update(base_channels=4, stage_blocks=(1, 1, 1, 1))
    cfg.model.cls_head.update(head)
    for loader, lines in ((cfg.train_dataloader, train_lines), (cfg.test_dataloader, test_lines)):
        path = tmp_path / f"{len(lines)}_{abs(hash(tuple(lines)))}.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.ann_file = str(path)
        loader.dataset.data_prefix.video = str(shapes)
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        (RECOGNITION, dict(num_classes=3, in_channels=32)),
        (PROBE, dict(num_classes=3, in_channels=(4, 8, 16, 32))),
    ],
)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4 3", r"line 3: label 3, expected 0 to 2 \(3 classes\); the file there is a.mp4"),
        ("a.mp4", r"line 3: no label, expected 0 to 2 \(3 classes\); the file there is a.mp4"),
    ],
)
def test_labels_are_checked_before_anything_is_loaded(shapes, tmp_path, name, head, line, message):
    good, bad = ["gone.mp4 0", "gone.mp4 2"], ["gone.mp4 0", "gone.mp4 2", line]
    with pytest.raises(ValueError, match=rf"3_\d+\.txt, {message}"):
        make_runner(name, shapes, tmp_path, bad, good, head).train()
    with pytest.raises(ValueError, match=rf"3_\d+\.txt, {message}"):
        make_runner(name, shapes, tmp_path, good, bad, head).test()


def test_pretraining_needs_no_labels(config, shapes, tmp_path):
    cfg = config(tmp_path / "work")
    lines = (shapes / "train.txt").read_text().splitlines()
    (tmp_path / "plain.txt").write_text("".join(f"{line.split()[0]}\n" for line in lines))
    cfg.train_dataloader.dataset.ann_file = str(tmp_path / "plain.txt")
    cfg.custom_hooks = [dict(type="LabelCheckHook"), *cfg.get("custom_hooks", [])]
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter > 0
