"""Parts that act on the runner; importing this registers them."""

from . import hooks, loops, optim

__all__ = ["hooks", "loops", "optim"]
