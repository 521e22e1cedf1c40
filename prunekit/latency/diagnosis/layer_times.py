"""Time by layer, before and after: measured in a child process, and what explaining needs of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prunekit.errors import LatencyError, one_of
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.latency.diagnosis.breakeven import BreakEven
from prunekit.latency.diagnosis.evidence import Evidence, LayerEvidence, Machine, Rounded, Spread
from prunekit.latency.diagnosis.explain import Cause, explain
from prunekit.latency.diagnosis.layer_capture import RUNTIMES
from prunekit.latency.diagnosis.wording import verdict
from prunekit.latency.diagnosis.worker import machine_of
from prunekit.latency.interleaved_timing import Ratio, ratio
from prunekit.latency.worker import Source, ask, check_settings
from prunekit.runtimes.backends import RUNTIMES as BACKENDS
from prunekit.tasks.input_form import InputForm

if TYPE_CHECKING:
    import pandas as pd

PASS = ""


@dataclass(frozen=True)
class LayerTimes:
    """Every sample of some models' passes and layers, measured in turns in one process.

    Attributes
    ----------
    samples : mapping of (str, str) to tuple of float
        Seconds in each round by model and layer; the layer "" is the whole pass.
    layers : mapping of str to tuple of mapping
        For each model its layers in the order of definition: ``name``, ``type``, ``macs``, ``bytes`` and ``fresh`` (of the output) of one
        pass, ``zeros``, ``channels``, ``sparse``, ``rows`` (of embedding tables).
    models : mapping of str to mapping
        ``macs`` and ``effective_macs`` of one sample, ``sparsity``.
    machine : Machine or None
        Its figures, measured in the same turns; None where no layers were timed.
    runtime : str
        What ran them.
    batch, threads, rounds : int
        Samples at a time, threads, rounds.
    stopped : str
        ``narrow enough`` or ``time budget``.
    """

    samples: Mapping[tuple[str, str], tuple[float, ...]] = field(repr=False)
    layers: Mapping[str, tuple[Mapping[str, Any], ...]] = field(repr=False)
    models: Mapping[str, Mapping[str, float]]
    machine: Machine | None
    runtime: str
    batch: int
    threads: int
    rounds: int
    stopped: str

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each layer and each pass.

        Returns
        -------
        DataFrame
            Columns ``model``, ``layer`` ("" for the whole pass), ``type``, ``macs``, ``bytes``, ``ms`` (median), ``q1``, ``q3``.
        """
        import pandas as pd  # noqa: PLC0415 (slow to import, and processes that time have no use for it)

        rows = []
        for model, layers in self.layers.items():
            whole = {"name": PASS, "type": "pass", "macs": self.batch * self.models[model]["macs"], "bytes": np.nan}
            for layer in (whole, *layers):
                t = Spread.of(self.samples[model, layer["name"]])
                rows.append((model, layer["name"], layer["type"], layer["macs"], layer["bytes"], t.ms, t.q1, t.q3))
        return pd.DataFrame(rows, columns=["model", "layer", "type", "macs", "bytes", "ms", "q1", "q3"])

    def ratio(self, after: str, before: str, layer: str = PASS) -> Ratio:
        """Return the time of a layer, or of the pass, in one model by that in another."""
        return ratio(self.samples[after, layer], self.samples[before, layer])

    def evidence(
        self, before: str, after: str, *, rounded: str | None = None, multiple: int = 8, break_even: BreakEven | None = None
    ) -> Evidence:
        """Return what explaining needs.

        Parameters
        ----------
        before, after : str
            Names of the baseline and of the model that is asked about.
        rounded : str, optional
            Name of the same model at rounder channel counts.
        multiple : int
            What these are multiples of.
        break_even : BreakEven, optional
            Of sparse kernels on this machine.
        """
        old, new = self.models[before], self.models[after]
        known = {layer["name"]: layer for layer in self.layers[before]}
        pairs = [(known[layer["name"]], layer) for layer in self.layers[after] if layer["name"] in known]
        layers = tuple(self._layer(before, after, was, layer, break_even) for was, layer in pairs)
        macs = max(old["macs"], 1.0)
        return Evidence(
            self.ratio(after, before), new["macs"] / macs, new["effective_macs"] / max(old["effective_macs"], 1.0),
            max(0.0, new["sparsity"] - old["sparsity"]), f"the {after} model", BACKENDS[self.runtime].title,
            Spread.of(self.samples[before, PASS]), Spread.of(self.samples[after, PASS]), layers, self.machine,
            None if rounded is None else self._rounded(rounded, after, multiple),
        )  # fmt: skip

    def _rounded(self, rounded: str, after: str, multiple: int) -> Rounded:
        """Return the rounder model beside the one in question."""
        macs = self.models[rounded]["macs"] / max(self.models[after]["macs"], 1.0)
        return Rounded(self.ratio(rounded, after), macs, multiple)

    def _layer(
        self, before: str, after: str, was: Mapping[str, Any], layer: Mapping[str, Any], break_even: BreakEven | None
    ) -> LayerEvidence:
        """Return one layer before and after."""
        name = layer["name"]
        channels = tuple(was["channels"]), tuple(layer["channels"])
        limit = break_even.density_at(channels[1], self.batch) if layer["sparse"] and break_even is not None else None
        return LayerEvidence(
            name, layer["type"], was["macs"], layer["macs"], was["bytes"], layer["bytes"], layer["fresh"],
            Spread.of(self.samples[before, name]), Spread.of(self.samples[after, name]), self.ratio(after, before, name),
            was["zeros"], layer["zeros"], *channels, layer["sparse"], was["rows"], layer["rows"], limit,
        )  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """The answer to the question why a model is not faster.

    Attributes
    ----------
    verdict : str
        One sentence: how fast, beside what its MACs promise.
    causes : tuple of Cause
        As `explain` names them; empty where the promise is kept.
    evidence : Evidence
        What they rest on.
    times : LayerTimes
        Every sample.
    """

    verdict: str
    causes: tuple[Cause, ...]
    evidence: Evidence = field(repr=False)
    times: LayerTimes = field(repr=False)


def layer_times(
    models: Mapping[str, Source],
    *,
    input_shape: Sequence[int],
    whole: Collection[str] = (),
    batch: int = 1,
    threads: int = 1,
    runtime: str = "eager",
    budget_s: float = 10.0,
    min_rounds: int = 10,
    seed: int = 0,
    progress: Progress | Tell = QUIET,
) -> LayerTimes:
    """Time the passes of some models and each of their layers in turns, in one fresh child process.

    Parameters
    ----------
    models : mapping of str to nn.Module or path
        By name, the baseline first: loaded through the catalog, pruned from such a model, or a folder that prunekit wrote.
    input_shape : sequence of int or InputForm
        Shape of one sample, or what the models take.
    whole : collection of str
        Models of which only the whole pass is timed.
    batch, threads : int
        Samples at a time; threads of torch.
    runtime : str
        One of `prunekit.latency.diagnosis.layer_capture.RUNTIMES`: elsewhere layers cannot be told apart.
    budget_s : float
        Seconds for warm-up and rounds; only ``min_rounds`` may take longer.
    min_rounds : int
        Rounds in any case.
    seed : int
        Of the input and the orders.
    progress : Progress or callable, optional
        Told how far it is, as ``progress(fraction, text)``; may stop the work.

    Returns
    -------
    LayerTimes

    Raises
    ------
    LatencyError
        If a setting is not valid, a model cannot be built again or does not run, or the child process fails.
    Cancelled
        If ``progress`` was cancelled.
    """
    progress = Progress.of(progress)
    one_of("runtime", runtime, RUNTIMES, LatencyError)
    check_settings(threads, budget_s, batch, min_rounds)
    if not models or "" in models:
        raise LatencyError("give at least one model, each with a name")
    setting = {"what": "layers", "batch": batch, "threads": threads, "runtime": runtime}
    timing = {"input_shape": list(input_shape), "budget_s": budget_s, "min_rounds": min_rounds, "seed": seed}
    layered = [name for name in models if name not in whole]
    told = ask(setting | timing | {"layered": layered}, models, progress, form=input_shape if isinstance(input_shape, InputForm) else None)
    samples = {(model, layer): tuple(series) for (model, layer), series in zip(map(tuple, told["what"]), told["seconds"], strict=True)}
    figures = {probe: series for (model, probe), series in samples.items() if not model}
    layers = {name: tuple(rows) for name, rows in told["layers"].items()}
    own = {key: series for key, series in samples.items() if key[0]}
    machine = machine_of(figures) if figures else None
    return LayerTimes(own, layers, told["models"], machine, runtime, batch, threads, len(told["orders"]), told["stopped"])


def diagnose(
    before: Source,
    after: Source,
    *,
    input_shape: Sequence[int],
    rounded: Source | None = None,
    multiple: int = 8,
    break_even: BreakEven | None = None,
    **timing: Any,
) -> Diagnosis:
    """Measure a model beside its baseline, layer by layer, and say why it is not faster.

    Parameters
    ----------
    before, after : nn.Module or path
        The baseline and the model in question.
    input_shape : sequence of int or InputForm
        Shape of one sample, or what the models take.
    rounded : nn.Module or path, optional
        The model in question with its channels rounded up to ``multiple`` (``PruneSpec.round_to``).
    multiple : int
        See there.
    break_even : BreakEven, optional
        Of sparse kernels on this machine, for the advice.
    **timing
        ``batch``, ``threads``, ``runtime``, ``budget_s``, ``min_rounds``, ``seed``, ``progress`` of :func:`layer_times`.

    Returns
    -------
    Diagnosis
    """
    models = {"dense": before, "pruned": after} | ({} if rounded is None else {"rounded": rounded})
    times = layer_times(models, input_shape=input_shape, whole=("rounded",), **timing)
    known = times.evidence("dense", "pruned", rounded=None if rounded is None else "rounded", multiple=multiple, break_even=break_even)
    return Diagnosis(verdict(known), explain(known), known, times)
