"""Input and heads of the recognizers: what MMAction2's classes are given, and what they answer."""

import pytest
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.registry import init_default_scope

import cmac_mm  # noqa: F401

MEAN, STD = (110.0, 100.0, 90.0), (58.0, 56.0, 55.0)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def recognizer(**head):
    head = dict(type="I3DHead", num_classes=6, in_channels=32, dropout_ratio=0.0) | head
    return MODELS.build(
        dict(
            type="Recognizer3D",
            data_preprocessor=dict(type="RecognizerDataPreprocessor", mean=MEAN, std=STD),
            backbone=dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1)),
            cls_head=dict(head, average_clips="prob"),
        )
    ).eval()


def batch(*shape):
    samples = [ActionDataSample().set_gt_label(i % 6) for i in range(shape[0])]
    generator = torch.Generator().manual_seed(0)
    imgs = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    return dict(inputs=dict(imgs=imgs), data_samples=samples)


@pytest.mark.parametrize("shape", [(2, 3, 4, 16, 16), (2, 5, 3, 4, 16, 16)])
def test_input_is_normalised_and_has_an_axis_of_clips(shape):
    data = batch(*shape)
    inputs = recognizer().data_preprocessor(data, training=True)["inputs"]
    imgs = data["inputs"]["imgs"].view(2, -1, *shape[-4:]).double()
    expected = (imgs - torch.tensor(MEAN).view(3, 1, 1, 1)) / torch.tensor(STD).view(3, 1, 1, 1)
    torch.testing.assert_close(inputs.double(), expected, rtol=0, atol=1e-5)


def test_sound_has_it_too_and_both_at_once_are_refused():
    preprocessor = MODELS.build(
        dict(type="RecognizerDataPreprocessor", audio_mean=-5.0, audio_std=18.0)
    )
    audio = torch.randn(2, 1, 8, 9)
    out = preprocessor(dict(inputs=dict(audio=audio), data_samples=[]))["inputs"]
    torch.testing.assert_close(out, (audio.unsqueeze(1) + 5) / 18)
    imgs = torch.zeros(2, 3, 4, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"'imgs' or 'audio' alone, got \['audio', 'imgs'\]"):
        preprocessor(dict(inputs=dict(audio=audio, imgs=imgs), data_samples=[]))


@pytest.mark.parametrize("head", ["I3DHead", "MaxPoolHead"])
def test_prediction_is_the_mean_of_the_clips_softmax(head):
    model, data = recognizer(type=head), batch(2, 3, 3, 4, 16, 16)
    with torch.no_grad():
        model.cls_head.fc_cls.weight.mul_(100)  # far from uniform
        scores = torch.stack([sample.pred_score for sample in model.test_step(data)])
        imgs = model.data_preprocessor(data)["inputs"]
        for video, expected in zip(imgs, scores, strict=True):
            clips = []
            for clip in video:
                feature_map = model.backbone(clip[None])[0].flatten(1)
                pooled = feature_map.mean(1) if head == "I3DHead" else feature_map.amax(1)
                logits = model.cls_head.fc_cls.weight @ pooled + model.cls_head.fc_cls.bias
                clips.append(logits.softmax(0))
            torch.testing.assert_close(sum(clips) / 3, expected, rtol=1e-4, atol=1e-5)


def test_training_step_learns_a_batch():
    torch.manual_seed(0)
    model, data = recognizer().train(), batch(4, 3, 4, 16, 16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        inputs = model.data_preprocessor(data, training=True)
        loss = model(**inputs, mode="loss")["loss_cls"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
