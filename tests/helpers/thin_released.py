"""Configs of released models with fewer channels."""

from mmengine.config import Config

from cmac_mm.utils import load_config
from cmac_mm.zoo import FORMATS


def thin_config(source: str, base: int) -> Config:
    """A format's config with ``base`` in place of 64 channels."""
    cfg = load_config(FORMATS[source].config)
    for name in ("backbone", "visual_backbone", "audio_backbone"):
        if name in cfg.model:
            cfg.model[name].base_channels = base
    if cfg.model.get("projection"):
        width = 8 * base
        out = width // 4 if source == "avid" else width // 2
        cfg.model.projection.update(in_channels=width, hidden_channels=width, out_channels=out)
    return cfg
