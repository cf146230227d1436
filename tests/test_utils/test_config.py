"""Finding and overriding configs."""

import argparse
from pathlib import Path

import pytest
from helpers.paths import ROOT
from mmengine.config import DictAction

from cmac_mm.utils import config_path, load_config


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
    with pytest.raises(ValueError, match=r"option sise: .*no field 'sise'; did you mean size\?"):
        load_config(config, {"sise": 1})
    assert load_config(config, {"model.size": 4}).model["size"] == 4


BASE = """
split = 1
data_root = "data"
lists = dict(train=f"{data_root}/train{split}.txt")
width, (depth, *rest) = 8, (18, 1)
step: int = 2
step *= 4
if split > 1:
    extra = "later"
else:
    extra = "first"
def unused(name):
    split = name
    return split
model = dict(width=width * 2, depth=depth, step=step, extra=extra, ann_file=lists["train"])
"""
CHILD = """
_base_ = ["base/base.py"]

pretrained = None
batch_size = 16  # größer
work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"
model = dict(pretrained=pretrained, head=dict(ann_file=_base_.lists["train"]))
train_dataloader = dict(batch_size=batch_size, sizes=[batch_size, {{_base_.width}}])
"""


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def chain(tmp_path):
    """A config with a base, in folders of a user's own."""
    write(tmp_path / "base/base.py", BASE)
    return write(tmp_path / "child.py", CHILD)


def parsed(*options):
    """Options as the command line has them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return parser.parse_args(["--cfg-options", *options]).cfg_options


def test_variables_are_set_before_anything_is_made_from_them(chain):
    options = parsed("split=2", "data_root=/else where", "pretrained=x.pth", "model.depth=34")
    options |= parsed("batch_size=4", "train_dataloader.num_workers=3", "load_from=y.pth")
    cfg = load_config(chain, options)
    ann_file = "/elsewhere/train2.txt"  # DictAction takes out spaces
    assert cfg.model.to_dict() == dict(
        width=16, depth=34, step=8, extra="later", ann_file=ann_file,
        pretrained="x.pth", head=dict(ann_file=ann_file),
    )  # fmt: skip
    assert cfg.train_dataloader == dict(batch_size=4, sizes=[4, 8], num_workers=3)
    assert (cfg.work_dir, cfg.load_from) == ("work_dirs/child/split2", "y.pth")
    assert (cfg.split, cfg.data_root, cfg.lists.train) == (2, "/elsewhere", ann_file)
    # The file stays what it is, and is what the config names.
    assert cfg.filename == str(chain) and CHILD in cfg.text and BASE in cfg.text
    assert chain.read_text(encoding="utf-8") == CHILD
    assert load_config(chain).split == 1  # set for one config alone


@pytest.mark.parametrize("name", ["width", "depth", "step"])
def test_every_form_of_assignment_is_set(chain, name):
    assert load_config(chain, {name: 50}).model[name] == (100 if name == "width" else 50)
    with pytest.raises(ValueError, match=f"option {name}: expected a number"):
        load_config(chain, {name: object()})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("None", None),
        ("-2.5", -2.5),
        ("1e-3", 1e-3),
        ("inf", float("inf")),
        ("True", True),
        ("[1,(2,a),[]]", [1, (2, "a"), []]),
        ("it's\n{x}", "it's\n{x}"),
    ],
)
def test_variables_have_the_values_of_the_command_line(chain, text, value):
    cfg = load_config(chain, parsed(f"pretrained={text}"))
    assert cfg.model.pretrained == value and type(cfg.model.pretrained) is type(value)
    nested = {"a": [value, {"b": (value,)}]}
    assert load_config(chain, {"pretrained": nested}).model.pretrained == nested


def test_a_dumped_config_is_the_run(chain, tmp_path):
    cfg = load_config(chain, {"split": 3, "batch_size": 2, "model.depth": 34})
    (tmp_path / "run").mkdir()
    cfg.dump(tmp_path / "run/child.py")
    again = load_config(tmp_path / "run/child.py")
    assert again.to_dict() == cfg.to_dict()
    # There all is settled: nothing depends on the variable any more.
    with pytest.raises(ValueError, match=r"option split: the variable changes nothing in .*run/"):
        load_config(tmp_path / "run/child.py", {"split": 2})


def test_variables_without_effect_are_refused(chain, tmp_path):
    load_config(chain, {"split": 1})  # as it is
    with pytest.raises(ValueError, match=r"option lists\.train: lists is a variable .*as a whole"):
        load_config(chain, {"lists.train": "x.txt"})
    # Made from it is one other variable, which is set as well.
    lists = dict(train="x.txt")
    assert load_config(chain, {"lists": lists}).model.head.ann_file == "x.txt"
    with pytest.raises(ValueError, match=r"option data_root: the variable changes nothing in .*ld"):
        load_config(chain, {"data_root": "x", "lists": lists})
    child = write(tmp_path / "grandchild.py", "_base_ = 'child.py'\nmodel = dict(pretrained=1)\n")
    with pytest.raises(ValueError, match="option pretrained: the variable changes nothing"):
        load_config(child, {"pretrained": "x.pth", "split": 2})
    values = write(tmp_path / "values.yaml", "size: 3\n")
    child = write(tmp_path / "child.py", f"_base_ = [{str(values)!r}]\nmodel = _base_.size")
    with pytest.raises(ValueError, match=r"option size: .*cannot be set from outside"):
        load_config(child, {"size": 4})


def test_variables_of_this_projects_configs_in_a_users_config(tmp_path):
    child = write(
        tmp_path / "mine.py", '_base_ = ["cmac_mm::cmac_k400.py"]\ntag = _base_.data_root'
    )
    cfg = load_config(child, {"data_root": "/data/k400", "batch_size": 8})
    loader = cfg.train_dataloader
    assert loader.dataset.ann_file == "/data/k400/annotations/kinetics400_train.txt"
    assert (loader.batch_size, cfg.tag) == (8, "/data/k400")


def test_errors_name_the_file_and_line_that_is_written_there(chain):
    base = chain.parent / "base/base.py"
    base.write_text("split = [\n    1,\n]\nmodel = dict(a=nothing[split])\n")
    with pytest.raises(NameError) as info:
        load_config(chain, {"split": 2})
    last = info.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(base), 4)
