"""Display of stored frames: upright, with square pixels, in a given size and format."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from av.error import FFmpegError
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame

    from .container import MediaFile

# A matrix this close to a right angle is one, as for FFmpeg: the tangent of a degree.
_RIGHT = 0.0175
# Pixels longer than this are taken for a damaged header; real ones are below 2.5.
_LONGEST_PIXEL = 4

Size = tuple[int, int]


def _name_unknown(cls: type[Type], value: int) -> Type:
    kind = object.__new__(cls)
    kind._name_, kind._value_ = f"UNKNOWN_{value}", value
    return kind


# PyAV gives no side data of a frame at all where it does not know one of the kinds, such as EXIF.
Type._missing_ = classmethod(_name_unknown)


class Pose(NamedTuple):
    """Rotation and mirroring that set a stored frame upright, in this order.

    Args:
        transposed (bool): Rows become columns. Defaults to False.
        mirrored (bool): Left and right change places. Defaults to False.
        flipped (bool): Top and bottom change places. Defaults to False.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the upright frame, as a view.

        Args:
            image (np.ndarray): Stored picture, shape ``(H, W, ...)``.
        """
        if not any(self):
            return image
        if self.transposed:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]

    def turn(self, size: Size) -> Size:
        """Convert width and height of a stored frame to those of the upright one, or back."""
        return size[::-1] if self.transposed else size


def pose_of(frame: VideoFrame) -> Pose:
    """Read the pose of a frame from its display matrix, as FFmpeg does.

    All eight matrices of quarter turns and mirrorings are known. Any other one (a slanted angle,
    or nonsense) leaves the picture as it is stored.
    """
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return Pose()
    # A point (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = memoryview(matrix).cast("B").cast("i")[:5]
    if max(abs(b), abs(c)) < _RIGHT * min(abs(a), abs(d)):
        return Pose(False, a < 0, d < 0)
    if max(abs(a), abs(d)) < _RIGHT * min(abs(b), abs(c)):
        return Pose(True, c < 0, b < 0)
    return Pose()


def shown_size(media: MediaFile, frame: VideoFrame) -> Size:
    """Compute width and height of a frame as players show it: upright, with square pixels.

    Pixels that are not square are made so by stretching their shorter side.

    Args:
        media (MediaFile): The file that the frame is from.
        frame (VideoFrame): A decoded frame.
    """
    width, height = frame.width, frame.height
    # The container has the say. Only a decoder that has begun knows what the stream says.
    ratio = (
        media.picture.sample_aspect_ratio or media.picture.codec_context.sample_aspect_ratio or 1
    )
    if 1 < ratio <= _LONGEST_PIXEL:
        width = round(width * ratio)
    elif 1 > ratio >= 1 / _LONGEST_PIXEL:
        height = round(height / ratio)
    return pose_of(frame).turn((width, height))


class Scaler:
    """Scaler of a file's frames to one size and format.

    The frames stay turned as they are stored: setting upright is cheaper after cropping, or part
    of a copy that is made anyway.

    A frame that FFmpeg cannot convert is refused with :class:`MediaError`.

    Args:
        media (MediaFile): The file.
        fit (Callable): Width and height wanted of the upright picture, given those at which it is
            shown.
        **conversion (object): Of PyAV's ``VideoReformatter.reformat``: the format and its colours.
    """

    def __init__(self, media: MediaFile, fit: Callable[[Size], Size], **conversion: object) -> None:
        self._media = media
        self._fit = fit
        self._conversion = conversion
        self._scale, self._convert = VideoReformatter(), VideoReformatter()
        self.size: Size | None = None
        """Width and height of the upright result in pixels."""
        self.shown: Size = (0, 0)
        """Width and height at which the first frame is shown, before scaling; zeros until then."""
        self.pose = Pose()
        """What sets the last frame upright."""
        self._angle: int | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Scale and convert a frame."""
        angle = frame.rotation
        if angle != self._angle:
            # Looking closely at each frame would take a tenth of its time.
            self._angle, self.pose = angle, pose_of(frame)
        if self.size is None:
            self.shown = shown_size(self._media, frame)
            self.size = self._fit(self.shown)
        try:
            return self._converted(frame, self.pose.turn(self.size))
        except FFmpegError:
            kind = f"{frame.format.name} with colour matrix {int(frame.colorspace)}"
            with self._media.refusing(f"the picture cannot be converted from {kind}"):
                raise

    def _converted(self, frame: VideoFrame, size: Size) -> VideoFrame:
        # Scaling first and converting then takes half the time of both in one. Plain averages over
        # areas are faster on large pictures; the demo learned less from them in the runs we made.
        if frame.format.name == "yuv420p" and (frame.width, frame.height) != size:
            frame = self._scale.reformat(frame, *size, interpolation="BILINEAR", threads=1)
        return self._convert.reformat(
            frame, *size, interpolation="BILINEAR", threads=1, **self._conversion
        )
