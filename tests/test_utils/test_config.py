"""Finding and overriding configs."""

from pathlib import Path

import pytest

from cmac_mm.utils import config_path, load_config

ROOT = Path(__file__).resolve().parents[2]


def test_finds_configs_by_path_and_by_name():
    path = config_path("cmac_k400.py")
    assert Path(path).samefile(ROOT / "configs/cmac_k400.py")
    by_name = load_config("cmac_mm::cmac_k400.py")
    assert by_name.model == load_config(ROOT / "configs/cmac_k400.py").model
    assert by_name.default_scope == "mmaction"


def test_inherits_by_name_from_anywhere(tmp_path):
    child = tmp_path / "child.py"
    child.write_text('_base_ = ["cmac_mm::cmac_k400.py"]\nmodel = dict(momentum=0.99)\n')
    cfg = load_config(child)
    assert cfg.model.momentum == 0.99
    assert cfg.model.type == "CMAC"
    # Its parts are in mmaction's registries, so the base must bring no scope of its own.
    assert "_scope_='cmac_mm'" not in cfg.pretty_text


def test_overrides_fields():
    cfg = load_config(
        "cmac_mm::cmac_k400.py",
        {"train_dataloader.batch_size": 3, "load_from": "x.pth", "find_unused_parameters": True},
    )
    assert cfg.train_dataloader.batch_size == 3
    assert cfg.train_dataloader.drop_last
    assert cfg.load_from == "x.pth"


@pytest.mark.parametrize("name", ["nowhere.py", "cmac_mm::cmac_k40.py"])
def test_names_a_missing_config(name):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py does not|there is: cmac_k400\.py"):
        load_config(name)


def test_refuses_options_without_effect(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("size = 3\nmodel = dict(type='CMAC', size=size)\n")
    with pytest.raises(ValueError, match=r"option trian_cfg\.x: .*did you mean train_cfg\?"):
        load_config(config, {"trian_cfg.x": 1})
    with pytest.raises(ValueError, match="size is a variable of the config file"):
        load_config(config, {"size": 4})
    assert load_config(config, {"model.size": 4}).model["size"] == 4
