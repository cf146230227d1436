"""Names of the kinds of object, and their frequency bands on the plain level."""

SHAPE_KINDS: tuple[str, ...] = (
    "ball",
    "heart",
    "gear",
    "crate",
    "bell",
    "star",
    "hammer",
    "maraca",
)
HARD_KINDS: tuple[str, ...] = (
    *SHAPE_KINDS,
    "fish",
    "clock",
    "frog",
    "drum",
    "moon",
    "arrow",
    "pump",
    "kite",
)
# Each starts with the kinds of the one before it: a label means the same kind in all.
LEVELS: dict[str, tuple[str, ...]] = {"plain": SHAPE_KINDS, "hard": HARD_KINDS}

LOWEST_HZ = 150.0
HIGHEST_HZ = 10_000.0


def band_hz(kind: str) -> tuple[float, float]:
    """Get the frequency band of a kind on the plain level.

    The eight bands are adjacent and equally wide on a log scale.

    Args:
        kind (str): One of ``SHAPE_KINDS``.

    Returns:
        tuple[float, float]: Lower and upper edge in Hz.

    Raises:
        ValueError: If ``kind`` is unknown.
    """
    if kind not in SHAPE_KINDS:
        raise ValueError(f"kind {kind!r} is unknown: expected one of {SHAPE_KINDS}")
    label = SHAPE_KINDS.index(kind)
    ratio = (HIGHEST_HZ / LOWEST_HZ) ** (1 / len(SHAPE_KINDS))
    return LOWEST_HZ * ratio**label, LOWEST_HZ * ratio ** (label + 1)
