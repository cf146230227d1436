"""Augmentation clip by clip."""

from __future__ import annotations

from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose

# What crops, scalings and flips say about a clip: kept as a list, one entry a clip.
_BY_CLIP = ("crop_quadruple", "crop_bbox", "flip", "flip_direction", "scale_factor")


@TRANSFORMS.register_module()
class PerClip(BaseTransform):
    """Apply MMAction2's visual transforms to each clip of a sample on its own.

    Reads ``imgs``, ``num_clips`` and ``clip_len``; changes ``imgs`` and what the transforms say of
    them, such as ``img_shape``. MMAction2 draws once a sample, so all its clips are cropped and
    flipped alike; inside this wrapper each clip has its own draw. With more than one clip,
    ``crop_quadruple``, ``crop_bbox``, ``flip``, ``flip_direction`` and ``scale_factor`` become
    lists with one entry a clip; the size must come out the same for all.

    Args:
        transforms (list[dict]): Configs of transforms that change ``imgs``, such as
            ``RandomResizedCrop``, ``RandomCrop``, ``Resize``, ``Flip``.

    Raises:
        ValueError: The pictures are not full clips, or the transforms give the clips different
            sizes or numbers of pictures.
    """

    def __init__(self, transforms: list[dict]) -> None:
        self.transforms = Compose(transforms)

    def transform(self, results: dict) -> dict:
        """Transform the clips of ``results['imgs']`` one by one."""
        num_clips, clip_len = results["num_clips"], results["clip_len"]
        if num_clips == 1:
            return self.transforms(results)
        if len(results["imgs"]) != num_clips * clip_len:
            raise ValueError(
                f"PerClip: {len(results['imgs'])} pictures are not {num_clips} clips of {clip_len}"
            )
        done = []
        for i in range(num_clips):
            clip = {**results, "num_clips": 1}
            clip["imgs"] = results["imgs"][i * clip_len : (i + 1) * clip_len]
            done.append(self.transforms(clip))
            if len(done[-1]["imgs"]) != clip_len:
                raise ValueError(
                    f"PerClip: the transforms made {len(done[-1]['imgs'])} pictures of a clip's "
                    f"{clip_len}: put those that change the number, as ThreeCrop, behind PerClip"
                )
        merged = {**self.merge(done), "num_clips": num_clips}
        merged["imgs"] = [image for clip in done for image in clip["imgs"]]
        return merged

    def merge(self, clips: list[dict]) -> dict:
        """One dict for a sample out of one for each of its clips."""
        self.common_shape(clips)
        merged = dict(clips[0])
        if len(clips) > 1:
            merged.update({key: [clip[key] for clip in clips] for key in _BY_CLIP if key in merged})
        return merged

    @staticmethod
    def common_shape(clips: list[dict]) -> tuple[int, int]:
        """Height and width of all clips, in pixels."""
        shapes = {tuple(clip["img_shape"]) for clip in clips}
        if len(shapes) > 1:
            raise ValueError(f"PerClip: clips of one sample came out in sizes {sorted(shapes)}")
        return shapes.pop()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(transforms={self.transforms})"
