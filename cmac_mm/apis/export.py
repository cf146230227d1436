"""Export of encoders to torch.export and ONNX files."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.registry import TRANSFORMS
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from ..features import find_test_pipeline
from ..models.layers import pool_feature_map
from ..utils import write_text
from ..utils.files import replacing
from ..zoo import AudioInput, VisualInput, describe_inputs

TOLERANCE = 1e-4
"""How far a file may be from the model: of the largest value that the model gives."""
FORMATS = {"torch": ".pt2", "onnx": ".onnx"}
_HEADS = ("data_preprocessor", "neck", "head", "projections")
_TRACED_BATCH = 2
_CHECKED_BATCHES = (1, 3)


class ExportedEncoder(nn.Module):
    """Encoder with its normalisation, from the pipeline's output to vectors.

    Args:
        model (BaseModel): A model from :func:`init_model` or :func:`get_model`.
        modality (str): ``'visual'`` or ``'audio'``.

    Raises:
        ValueError: If the model has no such encoder.
    """

    def __init__(self, model: BaseModel, modality: str) -> None:
        super().__init__()
        backbone = getattr(model, f"{modality}_backbone", None)
        if backbone is None and getattr(model, "modality", None) == modality:
            backbone = model.backbone
        if backbone is None:
            raise ValueError(f"{type(model).__name__} has no {modality} encoder")
        self.modality = modality
        self.backbone = backbone
        # A file has no need of the other encoder, nor of key encoders, queues and banks.
        self.model = copy.copy(model)
        self.model._modules = {
            name: module for name, module in model._modules.items() if name in _HEADS
        }
        self.model._buffers = {}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Encode clips.

        Args:
            x (Tensor): Pictures, uint8 `(B, 3, T, H, W)`, or spectrograms, float32 `(B, 1, F, T)`.

        Returns:
            dict[str, Tensor]: ``feature`` `(B, C)` and, where the model has them, ``embedding``
            `(B, D)` of length 1: of single clips what ``predict`` gives.
        """
        preprocessor = self.model.data_preprocessor
        if self.modality == "visual":
            x = preprocessor.normalize(x)
        else:
            x = (x - preprocessor.audio_mean) / preprocessor.audio_std
        maps = self.backbone(x)
        last = maps[-1] if isinstance(maps, (tuple, list)) else maps
        feature = pool_feature_map(last.float(), getattr(self.model, "pooling", "avg"))
        if getattr(self.model, "normalize_clips", False):
            feature = F.normalize(feature, dim=1)
        found = {"feature": feature}
        if hasattr(self.model, "embed"):
            embeddings = self.model.embed({self.modality: last})
            if self.modality in embeddings:
                found["embedding"] = embeddings[self.modality]
        return found


def example_input(inputs: VisualInput | AudioInput, batch_size: int, seed: int = 0) -> Tensor:
    """Make a random input of an encoder, of the size that it takes.

    Args:
        inputs (VisualInput | AudioInput): See :func:`describe_inputs`.
        batch_size (int): Clips.
        seed (int): Of the draw. Defaults to 0.
    """
    draw = np.random.default_rng(seed)
    if isinstance(inputs, VisualInput):
        shape = (batch_size, 3, inputs.frames, inputs.size, inputs.size)
        return torch.from_numpy(draw.integers(0, 256, shape, np.uint8))
    init_default_scope("mmaction")
    spectrogram = TRANSFORMS.build(inputs.spectrogram)
    sound = draw.uniform(-0.3, 0.3, (batch_size, round(inputs.duration * inputs.sample_rate)))
    results = dict(waveform=sound.astype(np.float32), sample_rate=inputs.sample_rate)
    return torch.as_tensor(spectrogram(results)["audios"], dtype=torch.float32)


def export_encoders(
    model: BaseModel, folder: str | Path, formats: Sequence[str] = tuple(FORMATS)
) -> dict[str, dict]:
    """Export the encoders of a model for any batch size, and compare the files with the model.

    Writes ``visual.pt2`` and ``audio.pt2`` (``torch.export.load``), ``visual.onnx`` and
    ``audio.onnx``, and ``export.json``: what goes in and comes out of each. A file takes what
    :class:`PackAudioVisual` gives, see :class:`ExportedEncoder`.

    Args:
        model (BaseModel): A model from :func:`init_model` or :func:`get_model`, on the CPU.
        folder (str | Path): Where to write.
        formats (Sequence[str]): Of 'torch' and 'onnx'. Defaults to both.

    Returns:
        dict[str, dict]: By file, how far it is from the model, as a share of the model's largest
        value: ``{'visual.onnx': {'feature': 1e-6, 'embedding': 2e-6}, ...}``.

    Raises:
        ValueError: If a format is unknown.
        RuntimeError: If ONNX is not installed, or a file is further from the model than
            ``TOLERANCE``; it is then not written.
    """
    unknown = sorted(set(formats) - FORMATS.keys())
    if unknown or not formats:
        raise ValueError(f"formats: expected some of {', '.join(FORMATS)}, got {list(formats)}")
    if "onnx" in formats:
        _need_onnx()
    model = model.cpu().eval()
    folder = Path(folder)
    cfg = copy.deepcopy(model.cfg)
    cfg.test_dataloader = dict(dataset=dict(pipeline=find_test_pipeline(cfg)))
    described = describe_inputs(cfg)
    differences, about = {}, {}
    for modality, inputs in described.items():
        encoder = ExportedEncoder(model, modality).eval()
        program = _trace(encoder, example_input(inputs, _TRACED_BATCH))
        with torch.no_grad():
            outputs = encoder(example_input(inputs, 1))
        for name in formats:
            path = folder / f"{modality}{FORMATS[name]}"
            with replacing(path) as temporary:
                if name == "torch":
                    _write_torch(program, temporary)
                    run = torch.export.load(io.BytesIO(temporary.read_bytes())).module()
                else:
                    _write_onnx(program, temporary, list(outputs))
                    run = open_onnx(temporary)
                differences[path.name] = _compare(encoder, inputs, run, path)
        about[modality] = dict(
            input=_shape(example_input(inputs, 1)),
            outputs={name: _shape(x) for name, x in outputs.items()},
            front_end=asdict(inputs),
        )
    write_text(folder / "export.json", json.dumps(about, indent=2) + "\n")
    return differences


def _need_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise RuntimeError(f"ONNX needs pip install 'cmac_mm[export]' ({error})") from error


@torch.no_grad()
def _trace(encoder: ExportedEncoder, example: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(encoder, (example,), dynamic_shapes=({0: batch},))


def _write_torch(program: torch.export.ExportedProgram, path: Path) -> None:
    with path.open("wb") as file:
        torch.export.save(program, file)


def _write_onnx(program: torch.export.ExportedProgram, path: Path, names: list[str]) -> None:
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=["input"],
        output_names=names,
        external_data=False,
        verbose=False,
    )
    path.write_bytes(exported.model_proto.SerializeToString())


def open_onnx(path: str | Path, num_threads: int = 0) -> Callable[[Tensor], dict[str, Tensor]]:
    """Open an ONNX file as a function that runs on the CPU.

    Args:
        path (str | Path): The file; its input is called ``input``.
        num_threads (int): Threads of an operator. Defaults to 0: one a core.

    Returns:
        Callable: From a batch to the outputs by name.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(
        Path(path).read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(x: Tensor) -> dict[str, Tensor]:
        found = session.run(names, {"input": x.numpy()})
        return {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}

    return run


@torch.no_grad()
def _compare(
    encoder: ExportedEncoder, inputs: VisualInput | AudioInput, run: Callable, path: Path
) -> dict[str, float]:
    """How far a file is from the model, at batch sizes that were not traced."""
    worst: dict[str, float] = {}
    for batch_size in _CHECKED_BATCHES:
        x = example_input(inputs, batch_size, seed=batch_size)
        found = run(x)
        for name, expected in encoder(x).items():
            off = (found[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
            worst[name] = max(worst.get(name, 0.0), off.item())
    if not max(worst.values()) <= TOLERANCE:
        raise RuntimeError(f"{path}: differs from the model by {worst}, more than {TOLERANCE:g}")
    return worst


def _shape(x: Tensor) -> dict[str, object]:
    return dict(shape=["batch", *x.shape[1:]], dtype=str(x.dtype).removeprefix("torch."))
