"""Seeing every operation of a forward pass, below a model's Python."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class Seeing(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its hook untyped
    """A dispatch mode that torch does not wrap against `torch.compile`: nothing is compiled here, and wrapping loads the compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
