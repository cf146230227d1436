import json

import pytest

from cmac_mm.evaluation import load_results, save_result


def test_round_trip(tmp_path):
    save_result(tmp_path / "a/x.json", "ucf101-finetune", "epoch_1.pth", dict(top1=0.5), split=2)
    save_result(tmp_path / "b.json", "esc50-svm", None, dict(top1=1))
    (tmp_path / "log.json").write_text('{"lr": 0.1}')
    (tmp_path / "scalars.json").write_text('{"lr": 0.1}\n{"lr": 0.2}\n')  # as MMEngine logs
    first, second = load_results(tmp_path)
    assert first["benchmark"] == "ucf101-finetune" and first["split"] == 2
    assert first["metrics"] == {"top1": 0.5} and first["path"].endswith("x.json")
    assert second["checkpoint"] is None and second["metrics"]["top1"] == 1.0
    assert not list(tmp_path.rglob("*.tmp"))


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        load_results(tmp_path / "none")
    (tmp_path / "half.json").write_text('{"benchmark": ')
    with pytest.raises(ValueError, match=r"half\.json"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(metrics=dict(top1="0.5")), r"metrics\.top1 is '0\.5', expected a number"),
        (dict(metrics=dict(top1=None)), r"metrics\.top1 is None, expected a number"),
        (dict(metrics=dict(top1=[0.5])), r"metrics\.top1 is \[0\.5\], expected a number"),
        (dict(metrics=0.5), r"metrics is 0\.5, expected figures by name"),
        (dict(split="one"), r"split is 'one', expected a number"),
        (dict(folds=[dict(fold=1, top1=0.5), dict(fold=2, top1="-")]), r"folds\[1\]\.top1 is '-'"),
        (dict(splits=[dict(split="a", top1=0.5)]), r"splits\[0\]\.split is 'a'"),
        (dict(checkpoint=3), r"checkpoint is 3, expected a path"),
        (dict(untrained=dict(top1="low")), r"untrained\.top1 is 'low', expected a number"),
        (dict(chance=0.5), r"chance is 0\.5, expected figures by name"),
        (dict(benchmark=None), r"benchmark is None, expected a name"),
    ],
)
def test_wrong_values_are_named(tmp_path, change, message):
    """Somebody edited a result, or wrote one by hand."""
    good = dict(benchmark="ucf101-finetune", checkpoint="a.pth", metrics=dict(top1=0.5))
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "edited.json").write_text(json.dumps(good | change))
    with pytest.raises(ValueError, match=r"edited\.json: " + message):
        load_results(tmp_path)


def test_text_of_windows(tmp_path):
    text = json.dumps(dict(benchmark="b", checkpoint=None, metrics=dict(top1=1)))
    (tmp_path / "marked.json").write_bytes(f"\ufeff{text}\r\n".encode())
    assert load_results(tmp_path)[0]["metrics"] == {"top1": 1}
    (tmp_path / "latin.json").write_bytes(b'{"benchmark": "m\xe5s"}')
    with pytest.raises(ValueError, match=r"latin\.json, line 1: expected text in UTF-8"):
        load_results(tmp_path)
