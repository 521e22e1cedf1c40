"""`Identity` modules in place of removed blocks: torch's own, marked so that a file tells them from the model's own modules."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from prunekit.errors import CheckpointError

MARK = "stands_for_a_block"
PASSES = "PassThrough"


class PassThrough(nn.Module):
    """Hands its first argument on, whatever else it is called with: nn.Identity takes nothing else."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return the first argument."""
        return x


STAND_INS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (nn.Identity, PassThrough, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Sigmoid, nn.Tanh)
}


def stand_in(kind: str) -> nn.Module:
    """Return a new module to put in a removed block's place."""
    if not isinstance(kind, str) or kind not in STAND_INS:
        raise CheckpointError(f"{kind!r} stands for no removed block: it must be one of {', '.join(STAND_INS)}")
    module = STAND_INS[kind]()
    setattr(module, MARK, True)
    return module


def standing_in(module: nn.Module) -> str | None:
    """Return the class name of a module that stands for a removed block; None for all others."""
    kind = type(module).__name__
    return kind if getattr(module, MARK, False) is True and STAND_INS.get(kind) is type(module) else None


def replace_module(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put another module in the place of a submodule."""
    path, _, leaf = name.rpartition(".")
    new.train(model.get_submodule(name).training)
    setattr(model.get_submodule(path), leaf, new)
