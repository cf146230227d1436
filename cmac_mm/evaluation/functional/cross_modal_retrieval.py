"""Retrieval between the two modalities of a video."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from .retrieval import instance_recall, recall_at_k


def cross_modal_retrieval(
    features: Mapping[str, Tensor], ks: Sequence[int] = (1, 5, 10)
) -> tuple[dict[str, float], list[str]]:
    """Compute retrieval between the modalities of a video, and retrieval of its class.

    From the embeddings: instance-level recall from a video to its own sound and back. From the
    pooled features, where there are labels: class-level leave-one-out recall, the share of samples
    whose nearest other sample is of their class. What is not there (a single-modality model has no
    partner to find) is left out.

    Args:
        features (Mapping[str, Tensor]): ``visual_embedding`` and ``audio_embedding`` (N, D),
            ``visual_feature`` and ``audio_feature`` (N, C), ``label`` (N,), and ``sample_idx``
            (N,), which alone must be there.
        ks (Sequence[int]): Ranks of the instance-level recall; those larger than the set are left
            out. Defaults to (1, 5, 10).

    Returns:
        tuple[dict[str, float], list[str]]: ``video_to_audio_R1``, ``audio_to_video_R1``, ...,
        ``visual_class_R1`` and ``audio_class_R1``, in [0, 1]; and what a reader of the figures must
        know.

    Raises:
        ValueError: If there is nothing to compute.
    """
    count = len(features["sample_idx"])
    metrics: dict[str, float] = {}
    notes = []
    if {"visual_embedding", "audio_embedding"} <= features.keys():
        possible = [k for k in ks if k <= count]
        if len(possible) < len(ks):
            notes.append(f"only {count} samples, recall is reported at {possible}")
        visual, audio = features["visual_embedding"], features["audio_embedding"]
        for name, query, gallery in (
            ("video_to_audio", visual, audio),
            ("audio_to_video", audio, visual),
        ):
            recalls = instance_recall(query, gallery, ks=possible)
            metrics.update({f"{name}_R{k}": recall for k, recall in recalls.items()})
    for modality in ("visual", "audio"):
        key = f"{modality}_feature"
        if key in features and "label" in features and count > 1:
            x, y = features[key], features["label"]
            recall = recall_at_k(x, x, y, y, ks=(1,), exclude_self=True)
            metrics[f"{modality}_class_R1"] = recall[1]
    if not metrics:
        raise ValueError(
            f"nothing to evaluate: {count} sample(s) with {', '.join(sorted(features))}; "
            "expected embeddings of both modalities, or features and labels of two or more"
        )
    return metrics, notes
