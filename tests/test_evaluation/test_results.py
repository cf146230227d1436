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
