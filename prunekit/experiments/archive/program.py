"""The text of ``load.py``: short enough to read before it is run, and the same for all runs but for a few lines."""

from __future__ import annotations

import textwrap
from string import Template

from prunekit.experiments.archive.architecture import Source
from prunekit.experiments.archive.gathering import Pixels
from prunekit.experiments.archive.program_templates import ACCURACY, ASK, FIRST, INT8, JUDGE, NORMALISE, PREDICT, SHOW, TORCH
from prunekit.experiments.archive.samples import INPUTS, NESTED, Samples
from prunekit.tasks.input_form import form_words
from prunekit.tasks.stored_batch import flattened


def program(title: str, pixels: Pixels, source: Source | None, samples: Samples) -> str:
    """Return the text of ``load.py``; of a quantised model, which is its own graph, without ``source``."""
    kind, form = "int8" if source is None else "torch", "torch" if samples.nest is None else "nested"
    judged = samples.scores and samples.nest is None
    alone = "class scores [N, classes]" if samples.scores else "the output"
    gives = alone if not samples.path else f"what the network gives ({'class scores' if samples.scores else 'its first tensor'} at OUTPUT)"
    show = Template(SHOW[kind]).safe_substitute(first=FIRST[form])
    parts = {
        "title": _quoted(title),
        "constants": _constants(pixels, samples, source is None),
        "normalise": NORMALISE[kind] if pixels.image else "",
        "accuracy": ACCURACY[kind] if judged else "",
        "main": textwrap.indent(JUDGE + textwrap.indent(show, "    ") if judged else show, "    ").rstrip(),
        "samples": _taken(pixels, samples),
    }
    if source is None:
        return INT8.substitute(parts, gives=alone)
    package = f", safetensors and {source.package}" if source.package else " and safetensors"
    parts |= {"predict": Template(PREDICT[form]).substitute(parts, gives=gives), "ask": ASK[form]}
    call = "        adapt(module, attributes)\n" if source.adapters else ""
    parts |= {"adapters": f"{source.adapters}\n\n" if source.adapters else "", "adapt": call}
    return TORCH.substitute(parts, package=package, build=textwrap.indent("\n".join(source.lines), "    "))


def _taken(pixels: Pixels, samples: Samples) -> str:
    """Say what the network takes."""
    if samples.nest is None:
        return f"{'images' if len(pixels.shape) == 3 else 'samples'} [N, *INPUT_SHAPE], float32, normalised"
    return form_words(samples.inputs)


def _constants(pixels: Pixels, samples: Samples, int8: bool) -> str:
    """Return what is known of the input as lines of Python."""
    shape, nest = tuple(pixels.shape), samples.nest
    lines = [f"INPUT_SHAPE = {shape!r}  # of one sample" + (": channels, height, width" if len(shape) == 3 else "")] if nest is None else []
    lines.append(f"SAMPLES = {samples.inputs.samples}  # inputs in samples.safetensors")
    if int8:
        lines.append(f"INPUTS = {tuple(flattened(samples.inputs, NESTED)[0]) if nest is not None else (INPUTS,)!r}  # their names there")
    elif nest is not None:
        lines.append(f"NEST = {nest!r}  # by their names there")
    if pixels.image:
        lines.append(f"MEAN, STD = {pixels.mean!r}, {pixels.std!r}  # of each channel, for pixels in 0..1")
    where = "the class scores" if samples.scores else "the outputs in samples.safetensors"
    lines.append(f"OUTPUT = {samples.path!r}  # where {where} stand in what the network gives; '' for a tensor alone")
    lines.append(f"ALLOWED = {samples.allowed:g}  # difference of outputs by the largest one: other machines round otherwise")
    return "\n".join(lines)


def _quoted(title: str) -> str:
    """Return a title fit for a docstring: one line, nothing that ends it."""
    return " ".join(title.replace("\\", "/").replace('"', "'").split())[:200] + "."
