"""What a worker of a Dask cluster does: load a model and data once, and carry out one request after the other on one thread."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import nn

from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.sweep import shape_of, split_of
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.identity import data_hash, for_task, weights_of
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.models.architectures import frozen
from prunekit.models.checkpoints import fit_state
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.models.state import tensor_state

TOPIC = "prunekit"
"""Under it workers tell how far a request is."""
TELL_S = 0.5
_ONE_AT_A_TIME = Lock()


class Lacking(PrunekitError):
    """The worker does not have the dense model's weights: whoever asks sends them."""


@dataclass(eq=False)
class Loaded:
    """A model and data on a worker, and what earlier requests left there for later ones."""

    model_id: ModelId  # as whoever asks calls it
    model: nn.Module  # model, data: the dense model, and what it is measured on
    data: Any
    _held: dict[Hashable, Any] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)

    def hashed(self, split: str) -> str:
        """Return the fingerprint of a part of the data."""
        if split not in self._hashes:
            self._hashes[split] = data_hash(split_of(self.data, split))
        return self._hashes[split]

    def held(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is held under a key, made now where it is not there; of several the last two are held."""
        found = self._held.pop(key) if key in self._held else make()
        for old in list(self._held)[:-1]:
            del self._held[old]
        self._held[key] = found
        return found

    def experiment(self, request: AccuracyRequest) -> Experiment:
        """Return what measures on a part of the data; nothing is stored."""
        bare = replace(request, model=self.model_id, spec=None, recovery=Recovery())
        return self.held(bare, lambda: Experiment(bare, self.model, self.data, Keeper(None)))  # type: ignore[no-any-return]


Work = Callable[..., Any]
"""A function of a module: gets the request, what is loaded, the progress, and what else the call gives."""


@dataclass(frozen=True)
class Call:
    """What travels: a request, and what its model and data must be where it is carried out."""

    work: Work  # a function of a module, which carries the request out
    request: Any  # with ``model``, ``data`` and ``split``
    weights: str  # weights, data: hashes of the dense model and of the whole part of the data
    data: str
    title: str  # what messages call it
    given: tuple[Any, ...] = ()  # what else the function gets


_LOADED: dict[tuple[ModelId, DataId, str], Loaded] = {}
_SENT: dict[str, bytes] = {}


def carry_out(call: Call) -> Any:
    """Carry out one request on a worker; nothing is stored there."""
    from distributed import get_worker  # noqa: PLC0415 (an extra)

    worker = get_worker()
    key = str(worker.get_current_task())
    wanted: Any = _Wanted(worker, key)
    with _ONE_AT_A_TIME:
        torch.set_num_threads(1)
        try:
            return call.work(call.request, _loaded(call), Progress(_Telling(worker, key), wanted), *call.given)
        except Lacking:
            raise
        except (PrunekitError, OSError) as error:
            raise PrunekitError(f"{error} (on the worker {worker.address})") from None


def measure_point(request: AccuracyRequest, loaded: Loaded, progress: Progress) -> tuple[Run, Measurement]:
    """Measure one point."""
    experiment = loaded.experiment(request)
    run, accuracy = experiment.measure(request.spec, request.recovery, progress)
    return run, experiment.seen(run, accuracy)


def packed(model: nn.Module) -> bytes:
    """Return a model's weights, and what is known of it, as they travel."""
    # tensors that share memory are written one by one: the model there shares its own again
    tensors = {name: value.cpu().contiguous().clone() for name, value in tensor_state(model).items()}
    return pickle.dumps((write_tensors(tensors), info(model)))


def take(weights: str, payload: bytes) -> None:
    """Take over weights that are not on this worker; those of two models are held."""
    _SENT.pop(weights, None)
    for old in list(_SENT)[:-1]:
        del _SENT[old]
    _SENT[weights] = payload


def _loaded(call: Call) -> Loaded:
    """Return model and data, loaded once a worker, or raise where they are not those of the call."""
    key = (call.request.model, call.request.data, call.weights)
    if key not in _LOADED:
        for old in list(_LOADED)[:-1]:
            del _LOADED[old]
        _LOADED[key] = _opened(call)
    found = _LOADED[key]
    if found.hashed(call.request.split) != call.data:
        raise PrunekitError(f"the data {call.request.data.name} differ from those of whoever asks: give every worker the same files")
    return found


def _opened(call: Call) -> Loaded:
    """Load a model and data; weights that are not here, or are others, are asked for."""
    name, sent = call.request.model, _SENT.get(call.weights)
    if sent is None:
        try:
            model = load_model(name)
        except PrunekitError as error:
            raise Lacking(str(error)) from None
    else:
        model = _built(name, sent)
    data = load_data(call.request.data, model=model)
    if weights_of(model, shape_of(model, split_of(data, call.request.split)), for_task(name, model, data).task) != call.weights:
        if sent is None:
            raise Lacking(f"the weights of {name.name} are others")
        raise PrunekitError(f"the code of the model {name.name} differs from that of whoever asks: give every worker the same files")
    return Loaded(name, model, data)


def _built(name: ModelId, sent: bytes) -> nn.Module:
    """Return an architecture of this worker with the weights that were sent."""
    tensors, known = pickle.loads(sent)
    model = load_model(replace(name, weights=None, pretrained=False))
    fit_state(model, read_tensors(tensors), name.name)
    return frozen(model, replace(known, code=info(model).code))


class _Wanted:
    """Set once the task that runs here is no longer wanted, as its worker was told; looked at before each batch."""

    def __init__(self, worker: Any, key: str) -> None:
        self._tasks, self._key = worker.state.tasks, key

    def is_set(self) -> bool:
        """Whether to stop."""
        task = self._tasks.get(self._key)
        return task is None or task.state == "cancelled"


class _Telling:
    """Tells whoever asks how far a request is, now and then."""

    def __init__(self, worker: Any, key: str) -> None:
        self._worker, self._key, self._last = worker, key, time.monotonic()

    def __call__(self, fraction: float, text: str) -> None:
        """Tell it, unless it was told a moment ago."""
        now = time.monotonic()
        if now - self._last >= TELL_S:
            self._last = now
            self._worker.log_event(TOPIC, {"key": self._key, "fraction": fraction, "text": text})
