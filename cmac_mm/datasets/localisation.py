"""VGG-SS and Flickr-SoundNet: file names, and boxes around sounding objects."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from mmaction.registry import DATASETS
from mmengine.logging import print_log

from ..utils import read_json
from .audio_visual_dataset import AudioVisualDataset
from .list_rows import list_lines

Boxes = list[list[list[float]]]
_FLICKR_PIXELS = 256


def read_vggss_boxes(path: str | Path) -> dict[str, Boxes]:
    """Read the boxes of VGG-SS, ``vggss.json``.

    Args:
        path (str | Path): A list of ``{"file": NAME, "class": ..., "bbox": [[x1, y1, x2, y2]]}``
            with fractions of the picture. Some of the published boxes are turned around, reach far
            out of the picture or are of no size: they are read as they are.

    Returns:
        dict[str, Boxes]: By name: those of the one annotator of each picture.

    Raises:
        ValueError: If the file is something else, or a name comes twice.
    """
    entries = read_json(path)
    if not isinstance(entries, list):
        raise ValueError(f"{path}: expected a list, found a {type(entries).__name__}")
    found: dict[str, Boxes] = {}
    for number, entry in enumerate(entries):
        boxes = entry.get("bbox") if isinstance(entry, dict) else None
        if not isinstance(boxes, list) or not all(map(_is_box, boxes)) or "file" not in entry:
            raise ValueError(
                f"{path}, entry {number}: expected 'file' and 'bbox', a list of boxes of four "
                f"finite numbers, found {str(entry)[:200]}"
            )
        if entry["file"] in found:
            raise ValueError(f"{path}, entry {number}: {entry['file']} is there twice")
        found[entry["file"]] = [boxes]
    return found


def read_flickr_boxes(path: str | Path) -> Boxes:
    """Read the boxes of one picture of Flickr-SoundNet, ``NAME.xml``.

    Args:
        path (str | Path): Below the root, elements with ``bbox`` in them, whose last four children
            are x1, y1, x2, y2 in pixels of a picture of 256 x 256.

    Returns:
        Boxes: As fractions of the picture; each box is a vote of its own, as the field counts.

    Raises:
        ValueError: If the file is missing or something else.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file, expected the boxes of a picture")
    try:
        elements = ET.parse(path).getroot().findall("./*/bbox")
        values = [[float(child.text or "") for child in element[-4:]] for element in elements]
    except (ET.ParseError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected boxes of four numbers in XML ({error})") from error
    if not all(map(_is_box, values)):
        raise ValueError(f"{path}: expected boxes of four finite numbers, found {values}")
    return [[[value / _FLICKR_PIXELS for value in box]] for box in values]


def _is_box(box: object) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(v, int | float) and math.isfinite(v) for v in box)
    )


@DATASETS.register_module()
class LocalisationDataset(AudioVisualDataset):
    """Dataset of frames or videos, their audio, and boxes around the sounding objects.

    A sample holds ``filename``, the video or the sound; ``picture`` where it is a still one, for
    :class:`StillClip`; ``boxes``, for each annotator a list of x1, y1, x2, y2 as fractions of the
    picture; ``consensus``, how many annotators must agree (VGG-SS 1, Flickr-SoundNet 2); and
    ``sample_idx``. :class:`LocalisationMetric` reads them.

    Args:
        ann_file (str): Names, one a line; a comma and what follows it are passed over.
        boxes (str): VGG-SS: ``vggss.json``. Flickr-SoundNet: folder with a ``NAME.xml`` each.
        pipeline (list[dict | Callable]): Transforms.
        data_prefix (dict): Folders: ``picture`` and ``audio``, with ``NAME.jpg`` and ``NAME.wav``,
            or ``video``, with ``NAME.mp4``.
        skip_missing (bool): Leave out names whose files are not there (videos vanish from
            YouTube), and log how many. Defaults to False: loading complains.
        test_mode (bool): As in :class:`AudioVisualDataset`. Defaults to True.

    Raises:
        ValueError: If a name has no boxes, an annotation cannot be read, all files are missing or
            ``data_prefix`` has other keys.
    """

    def __init__(
        self,
        ann_file: str,
        boxes: str,
        pipeline: list[dict | Callable],
        data_prefix: dict,
        skip_missing: bool = False,
        test_mode: bool = True,
    ) -> None:
        if set(data_prefix) not in ({"picture", "audio"}, {"video"}):
            raise ValueError(
                "data_prefix: expected 'picture' and 'audio', or 'video', got "
                f"{sorted(data_prefix)}"
            )
        self.boxes = boxes
        self.skip_missing = skip_missing
        super().__init__(ann_file, pipeline, data_prefix, test_mode=test_mode)

    def load_data_list(self) -> list[dict]:
        """Read names and boxes."""
        vggss = read_vggss_boxes(self.boxes) if self.boxes.endswith(".json") else None
        found: list[dict] = []
        names = [line.split(",")[0].strip() for _, line in list_lines(self.ann_file)]
        for name in names:
            info: dict = self._files(name)
            if self.skip_missing and not all(Path(path).is_file() for path in info.values()):
                continue
            if vggss is None:
                info.update(boxes=read_flickr_boxes(Path(self.boxes, f"{name}.xml")), consensus=2)
            elif name in vggss:
                info.update(boxes=vggss[name], consensus=1)
            else:
                raise ValueError(f"{self.ann_file}: {name} has no boxes in {self.boxes}")
            found.append({**info, "row": len(found)})
        if not found:
            raise ValueError(
                f"{self.ann_file} lists {len(names)} names, and the files of none are there"
                if names
                else f"{self.ann_file} lists no names"
            )
        if len(found) < len(names):
            print_log(f"{self.ann_file}: {len(names) - len(found)} of {len(names)} are missing")
        return found

    def _files(self, name: str) -> dict[str, str]:
        if "video" in self.data_prefix:
            return dict(filename=str(Path(self.data_prefix["video"], f"{name}.mp4")))
        return dict(
            filename=str(Path(self.data_prefix["audio"], f"{name}.wav")),
            picture=str(Path(self.data_prefix["picture"], f"{name}.jpg")),
        )
