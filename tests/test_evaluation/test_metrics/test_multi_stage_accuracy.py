import pytest
import torch
from mmaction.structures import ActionDataSample

from cmac_mm.evaluation import MultiStageAccuracy


def prediction(row, label, scores):
    sample = ActionDataSample(metainfo=dict(sample_idx=row)).set_gt_label(label)
    sample.set_field(torch.as_tensor(scores), "block_scores")
    return sample.to_dict()


@pytest.mark.parametrize(("videos", "clips", "classes"), [(1, 1, 2), (7, 1, 3), (5, 10, 4)])
def test_against_a_loop(videos, clips, classes):
    torch.manual_seed(videos)
    scores = torch.rand(videos, 4, clips, classes).softmax(-1)
    labels = torch.randint(classes, (videos,)).tolist()
    metric = MultiStageAccuracy()
    for row in range(videos):
        metric.process({}, [prediction(row, labels[row], scores[row])])
    metrics = metric.evaluate(videos)
    best = [0, 0]
    for block in range(4):
        right_clips = right_videos = 0
        for row in range(videos):
            sums = [0.0] * classes
            for clip in range(clips):
                values = scores[row, block, clip].tolist()
                right_clips += values.index(max(values)) == labels[row]
                sums = [a + b for a, b in zip(sums, values, strict=True)]
            right_videos += sums.index(max(sums)) == labels[row]
        clip = metrics[f"probe/block{block + 1}_clip_top1"]
        video = metrics[f"probe/block{block + 1}_video_top1"]
        assert clip == pytest.approx(right_clips / (videos * clips))
        assert video == pytest.approx(right_videos / videos)
        best = [max(best[0], clip), max(best[1], video)]
    assert [metrics[f"probe/best_{kind}_top1"] for kind in ("clip", "video")] == best


def test_a_video_may_be_judged_by_fewer_clips():
    """Of five clips the first, the middle and the last; single clips by all five."""
    right, wrong = [0.9, 0.1], [0.0, 1.0]
    scores = [[right, wrong, right, wrong, right]]
    metric = MultiStageAccuracy(num_video_clips=3)
    metric.process({}, [prediction(0, 0, scores)])
    metrics = metric.evaluate(1)
    assert metrics["probe/block1_clip_top1"] == pytest.approx(0.6)
    assert metrics["probe/block1_video_top1"] == 1
    whole = MultiStageAccuracy(num_video_clips=9)
    whole.process({}, [prediction(0, 0, [[right, wrong, wrong]])])
    assert whole.evaluate(1)["probe/block1_video_top1"] == 0
    with pytest.raises(ValueError, match="num_video_clips must be at least 1"):
        MultiStageAccuracy(num_video_clips=0)


def test_a_padded_sample_counts_once():
    right, wrong = [[[0.9, 0.1]]], [[[0.1, 0.9]]]
    rows = [prediction(0, 0, right), prediction(1, 0, wrong), prediction(0, 0, right)]
    metric = MultiStageAccuracy()
    metric.process({}, rows)
    assert metric.evaluate(3)["probe/block1_video_top1"] == 0.5


def test_what_lacks_is_named():
    sample = prediction(0, 0, [[[1.0]]])
    del sample["block_scores"]
    with pytest.raises(ValueError, match="lacks block_scores"):
        MultiStageAccuracy().process({}, [sample])
