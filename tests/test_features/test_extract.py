from functools import partial

import pytest
import torch
from helpers.ranks import on_two_ranks
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel

from cmac_mm.evaluation import CrossModalRetrieval
from cmac_mm.evaluation.functional import instance_recall, recall_at_k
from cmac_mm.features import calibrate_batch_norm, extract_features
from cmac_mm.features.extract import eval_mode, feature_records, stack_records


class MeanModel(BaseModel):
    """Features are plain functions of the input, so that they are known."""

    def __init__(self, modalities=("visual", "audio")):
        super().__init__()
        self.modalities = modalities
        self.norm = torch.nn.BatchNorm1d(4)

    def forward(self, inputs, data_samples=None, mode="predict"):
        x = self.norm(inputs["x"])
        for row, sample in zip(x, data_samples, strict=True):
            for modality in self.modalities:
                sample.set_data(
                    {
                        f"{modality}_feature": row * 2,
                        f"{modality}_embedding": row / row.norm(),
                    }
                )
        return data_samples


def make_batches(inputs, order, batch_size=3, labels=True):
    batches = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        samples = []
        for row in rows:
            sample = ActionDataSample(metainfo={"sample_idx": row, "filename": f"{row}.mp4"})
            samples.append(sample.set_gt_label(row % 3) if labels else sample)
        batches.append({"inputs": {"x": inputs[rows]}, "data_samples": samples})
    return batches


def test_features_come_in_order_and_once():
    torch.manual_seed(0)
    inputs = torch.randn(8, 4)
    model = MeanModel().train()
    order = [3, 1, 7, 0, 2, 6, 5, 4, 3, 1]  # shuffled, and two padded ones
    features = extract_features(model, make_batches(inputs, order), progress=False)
    assert set(features) == {
        *("visual_feature", "audio_feature", "visual_embedding", "audio_embedding"),
        *("sample_idx", "label"),
    }
    expected = inputs / (1 + 1e-5) ** 0.5  # batch norm in eval mode: running statistics 0 and 1
    torch.testing.assert_close(features["visual_feature"], expected * 2)
    assert features["sample_idx"].tolist() == list(range(8))
    assert features["label"].tolist() == [row % 3 for row in range(8)]
    assert not features["audio_embedding"].requires_grad
    assert model.training
    assert int(model.norm.num_batches_tracked) == 0


def test_model_mode_is_restored_after_an_error():
    class Broken(MeanModel):
        def forward(self, *args, **kwargs):
            raise RuntimeError("no")

    model = Broken().train()
    with pytest.raises(RuntimeError, match="no"):
        extract_features(model, make_batches(torch.randn(3, 4), [0, 1, 2]), progress=False)
    assert model.training


def test_progress_bar_tells_what_is_left(capsys):
    extract_features(MeanModel(), make_batches(torch.randn(6, 4), list(range(6))))
    assert "ETA" in capsys.readouterr().err


def test_single_modality_and_no_labels():
    batches = make_batches(torch.randn(4, 4), [0, 1, 2, 3], labels=False)
    features = extract_features(MeanModel(("audio",)), batches, progress=False)
    assert set(features) == {"audio_feature", "audio_embedding", "sample_idx"}


def test_what_is_missing_is_named():
    batches = make_batches(torch.randn(6, 4), list(range(6)))
    del batches[1]["data_samples"][1].gt_label
    with pytest.raises(ValueError, match=r"'label' is missing in 1 of 6 .* sample_idx 4"):
        extract_features(MeanModel(), batches, progress=False)
    with pytest.raises(ValueError, match="none of the fields visual_feature"):
        extract_features(MeanModel(()), make_batches(torch.randn(2, 4), [0, 1]), progress=False)
    with pytest.raises(ValueError, match="no batch"):
        extract_features(MeanModel(), [], progress=False)
    sample = ActionDataSample(metainfo={"filename": "clip.mp4"})
    with pytest.raises(ValueError, match=r"clip\.mp4 has no 'sample_idx'"):
        feature_records([sample])
    records = [{"sample_idx": i, "visual_feature": torch.zeros(3 + i)} for i in range(2)]
    with pytest.raises(ValueError, match="'visual_feature' differs in shape"):
        stack_records(records)


def _rank(inputs, rank):
    # 5 samples on 2 ranks: the sampler pads with sample 0.
    batches = make_batches(inputs, [[0, 2, 4], [1, 3, 0]][rank], batch_size=2)
    features = extract_features(MeanModel(), batches, progress=False)
    assert features["sample_idx"].tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(features["visual_feature"], inputs * 2 / (1 + 1e-5) ** 0.5)

    metric = CrossModalRetrieval(ks=(1, 5))
    for batch in batches:
        samples = MeanModel().eval().test_step(batch)
        metric.process(batch, [sample.to_dict() for sample in samples])
    assert metric.evaluate(size=6) == reference_metrics(inputs)  # size 6: the padded one stays in


def reference_metrics(inputs):
    labels = torch.arange(len(inputs)) % 3
    class_recall = recall_at_k(inputs, inputs, labels, labels, (1,), exclude_self=True)[1]
    instance = instance_recall(inputs, inputs, (1, 5))
    return {
        "retrieval/video_to_audio_R1": instance[1],
        "retrieval/video_to_audio_R5": instance[5],
        "retrieval/audio_to_video_R1": instance[1],
        "retrieval/audio_to_video_R5": instance[5],
        "retrieval/visual_class_R1": class_recall,
        "retrieval/audio_class_R1": class_recall,
    }


def test_two_ranks_give_the_whole_set_once(tmp_path):
    torch.manual_seed(0)
    on_two_ranks(partial(_rank, torch.randn(5, 4)), tmp_path)


def run_metric(metric, predictions):
    metric.process({}, [sample.to_dict() for sample in predictions])
    return metric.evaluate(size=len(predictions))


def predictions_of(count, **fields):
    samples = []
    for row in range(count):
        sample = ActionDataSample(metainfo={"sample_idx": row})
        sample.set_data({key: value[row] for key, value in fields.items()})
        samples.append(sample)
    return samples


def test_metric_tells_direction_and_modality_apart():
    # Sounds 0 and 1 are the same; video 0 points at them, video 1 away from everything.
    visual = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 1.0]])
    audio = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    feature = torch.tensor([[1.0, 0.1], [1.0, 0.2], [-1.0, 0.0]])
    samples = predictions_of(
        3,
        visual_embedding=visual,
        audio_embedding=audio,
        visual_feature=feature,
        audio_feature=feature.roll(1, dims=0),
    )
    for sample, label in zip(samples, (0, 0, 1), strict=True):
        sample.set_gt_label(label)
    result = run_metric(CrossModalRetrieval(ks=(1, 2)), samples)
    assert result == pytest.approx(
        {
            "retrieval/video_to_audio_R1": 2 / 3,  # video 1 finds sound 2 first
            "retrieval/video_to_audio_R2": 2 / 3,
            "retrieval/audio_to_video_R1": 2 / 3,  # sound 1 finds video 0
            "retrieval/audio_to_video_R2": 2 / 3,
            "retrieval/visual_class_R1": 2 / 3,
            "retrieval/audio_class_R1": 0.0,
        }
    )


def test_metric_gives_what_a_model_allows():
    x = torch.eye(4)
    result = run_metric(
        CrossModalRetrieval(), predictions_of(4, visual_embedding=x, audio_embedding=x)
    )
    assert result == {"retrieval/video_to_audio_R1": 1.0, "retrieval/audio_to_video_R1": 1.0}
    with pytest.raises(ValueError, match="nothing to evaluate"):
        run_metric(CrossModalRetrieval(), predictions_of(4, visual_feature=x))
    with pytest.raises(ValueError, match="some of visual_feature"):
        CrossModalRetrieval().process({}, [{"sample_idx": 3, "pred_score": x[0]}])
    with pytest.raises(ValueError, match="ks: expected positive"):
        CrossModalRetrieval(ks=(0, 1))


def test_calibration_sets_the_statistics_of_the_data():
    torch.manual_seed(0)
    inputs = torch.randn(12, 4) * 3 + 5
    model = MeanModel().train()
    before = {key: value.clone() for key, value in model.named_parameters()}
    model.norm.running_mean += 100
    calibrate_batch_norm(model, make_batches(inputs, list(range(12)), batch_size=4))
    parts = inputs.view(3, 4, 4)
    torch.testing.assert_close(model.norm.running_mean, parts.mean(dim=1).mean(dim=0))
    torch.testing.assert_close(model.norm.running_var, parts.var(dim=1).mean(dim=0))
    assert model.norm.momentum == 0.1
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.named_parameters())
    with pytest.raises(ValueError, match="no batches"):
        calibrate_batch_norm(model, [])


def test_eval_mode_puts_each_module_back_as_it_was():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(), torch.nn.Linear(2, 2))
    model[0].eval()  # frozen statistics amid a model in training
    with pytest.raises(KeyError), eval_mode(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model] == [False, True, True]
    assert model.training
