"""MMAction2's own inference with a recogniser of configs/recognition, on a real UCF101 clip."""

import json

import pytest
import torch
from mmaction.apis import MMAction2Inferencer, inference_recognizer, init_recognizer

import cmac_mm
from cmac_mm.apis import inference, init_model

CONFIGS = [
    "cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py",
    "cmac_r2plus1d-18-frozen_1xb16-32x128-12e_ucf101.py",
    "avid_r2plus1d-18_1xb64-8x224-21e_ucf101.py",
    "xdc_r2plus1d-18_1xb32-8x224-12e_hmdb51.py",
]
CLASSES = 5


@pytest.fixture(scope="module")
def video(media_dir):
    return str(min((media_dir / "ucf101_mini/UCF-101").glob("*/*.avi")))


@pytest.fixture(params=CONFIGS)
def recognizer(request, tmp_path):
    """Config and checkpoint of a thin one, as a fine-tuning run leaves them."""
    cfg = cmac_mm.load_config(f"cmac_mm::recognition/{request.param}")
    cfg.model.backbone.update(base_channels=4, stage_blocks=(1, 1, 1, 1), init_cfg=None)
    cfg.model.cls_head.update(in_channels=32, num_classes=CLASSES)
    for step in cfg.test_pipeline:
        step.update({key: 3 for key in ("num_clips",) if key in step})
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline
    cfg.dump(tmp_path / "config.py")
    torch.manual_seed(0)
    state = {"state_dict": init_model(cfg).state_dict(), "meta": {}}
    torch.save(state, tmp_path / "epoch_1.pth")
    return str(tmp_path / "config.py"), str(tmp_path / "epoch_1.pth")


def test_inference_agrees_with_ours(recognizer, video, tmp_path):
    expected = inference(init_model(*recognizer), video).pred_score
    assert expected.shape == (CLASSES,)
    theirs = inference_recognizer(init_recognizer(*recognizer, device="cpu"), video)
    assert torch.equal(theirs.pred_score, expected)

    config, checkpoint = recognizer
    inferencer = MMAction2Inferencer(rec=config, rec_weights=checkpoint, device="cpu")
    out = tmp_path / "out.json"
    (result,) = inferencer(video, pred_out_file=str(out))["predictions"]
    assert json.loads(out.read_text()) == dict(predictions=[result])
    assert result["rec_scores"] == [expected.tolist()]
    assert result["rec_labels"] == [[int(expected.argmax())]]
    first, second = inferencer([video, video], batch_size=2)["predictions"]
    assert first == second
    torch.testing.assert_close(torch.tensor(first["rec_scores"][0]), expected)

    inferencer = MMAction2Inferencer(
        rec=config, rec_weights=checkpoint, device="cpu", input_format="dict"
    )
    assert inferencer(dict(filename=video))["predictions"] == [result]
    with pytest.raises(ValueError, match="input_format='rawframes': this config reads video files"):
        MMAction2Inferencer(
            rec=config, rec_weights=checkpoint, device="cpu", input_format="rawframes"
        )
