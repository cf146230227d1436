"""Values of a tensor on the device, read only after a change."""

from collections.abc import Callable
from typing import Any

from torch import Tensor


class Watch:
    """Function of a tensor, evaluated again only after the tensor was written to.

    Reading a value from a GPU makes the program wait for it; a training step should not.

    Args:
        look (Callable[[Tensor], Any]): The question.
    """

    def __init__(self, look: Callable[[Tensor], Any]) -> None:
        self._look = look
        self._tensor: Tensor | None = None
        self._version: int | None = None
        self._answer: Any = None

    def __call__(self, tensor: Tensor) -> Any:
        """Get the value for the tensor as it is now."""
        version = tensor._version
        if tensor is not self._tensor or version != self._version:
            self._tensor, self._version = tensor, version
            self._answer = self._look(tensor)
        return self._answer
