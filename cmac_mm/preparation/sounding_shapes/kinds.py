"""Names of the eight kinds of object and the frequency band each of them sounds in."""

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

LOWEST_HZ = 150.0
HIGHEST_HZ = 10_000.0


def band_hz(kind: str) -> tuple[float, float]:
    """Frequency band of a kind: the eight bands are adjacent and equally wide on a log scale.

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
