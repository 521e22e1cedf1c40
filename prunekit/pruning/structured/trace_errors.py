"""Where a forward pass stopped, and what to change there: the line in the model's own code, and the cause in plain words."""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from torch import nn

from prunekit.errors import PruningError
from prunekit.models.inputs import SEVERAL

Cause = tuple[tuple[str, ...], str]
# what torch's message holds -> what it means, and what to do
CAUSES: tuple[Cause, ...] = (
    (
        ("nonzero", "data-dependent", "dynamic shape", "masked_select", "unique"),
        "the shape of what comes out depends on values. Multiply by the mask, or choose with torch.where, which keeps the shape",
    ),
    (
        (".item()", "_local_scalar_dense", "meta device type tensor", "Tensor.__format__", "cannot be converted to"),
        "it looks at the value of a tensor, so that what runs depends on the data (data-dependent control flow), and a smaller model could "
        "decide otherwise. Compute with tensors instead, choosing with torch.where, or move that out of forward()",
    ),
    (
        ("not on the expected device", "same device", "found at least two devices", "out of meta tensor"),
        "values leave the device of the input. Give what is made there device=x.device, or keep it with register_buffer, and do without "
        ".cpu() and .tolist() in forward()",
    ),
)
# where the model does not run on these inputs in any mode
INPUTS: tuple[Cause, ...] = (
    (
        ("positional argument", "keyword-only argument", "keyword argument"),
        f"{{said}}. {SEVERAL}; or wrap it in a module whose forward(self, x) hands over the rest",
    ),
    (
        ("Long, Int", "scalar types", "indices to be", "used as indices", "indices must be"),
        "it takes whole numbers, and was given others. Give inputs that it takes as attribute example of its factory, or data",
    ),
)
MOST = 120  # characters of a line of code
ELSE = ", or use mode unstructured"
OTHERWISE = (
    "{said}. If samples of shape {shape} are not what it takes, give their shape; if they are, keep what it does independent of values and "
    "read sizes from the input"
)


def stopped(error: Exception, model: nn.Module, input_shape: tuple[int, ...]) -> PruningError:
    """Return the error that says on which line a forward pass without values stopped, why, and what to change."""
    said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    known = ((f"{advice}{end}", signs) for causes, end in ((CAUSES, ELSE), (INPUTS, "")) for signs, advice in causes)
    advice = next((advice for advice, signs in known if any(sign in str(error) for sign in signs)), OTHERWISE + ELSE)
    return PruningError(
        f"structured pruning has to see one forward pass without values, and it stopped in {place(error, model)}: "
        f"{advice.format(said=said, shape=list(input_shape))}"
    )


def place(error: BaseException, model: nn.Module) -> str:
    """Return where an error was raised: the module by name and class, the file and line of the model's own code, and the line itself."""
    found = _line(error, {_package(type(module).__module__) for module in model.modules()} - {"torch", "prunekit"})
    where = next(iter(modules_of(error, model)), "")
    at = f"{where} ({type(model.get_submodule(where)).__name__})" if where else f"the forward pass of {type(model).__name__}"
    return at if found is None else f"{at}, {found}"


def modules_of(error: BaseException, model: nn.Module) -> list[str]:
    """Return the modules of a model in whose forward an error was raised, the innermost first."""
    names = {id(module): name for name, module in model.named_modules()}
    found, trace = [], error.__traceback__
    while trace is not None:
        name = names.get(id(trace.tb_frame.f_locals.get("self")))
        if name is not None:
            found.append(name)
        trace = trace.tb_next
    return found[::-1]


def _line(error: BaseException, packages: Iterable[str]) -> str | None:
    """Return the innermost line of an error's traceback in some packages: ``file.py:12, `if x.sum() > 0:` ``."""
    found, trace, packages = None, error.__traceback__, set(packages)
    while trace is not None:
        if _package(str(trace.tb_frame.f_globals.get("__name__", ""))) in packages:
            found = trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
    return None if found is None else _said(*found)


def _said(frame: FrameType, number: int) -> str:
    """Return a line with its file."""
    source = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
    shown = source if len(source) <= MOST else f"{source[:MOST]} ..."
    return f"{Path(frame.f_code.co_filename).name}:{number}" + (f", `{shown}`" if shown else "")


def _package(module: str) -> str:
    """Return the package at the top of a module's name."""
    return module.partition(".")[0]
