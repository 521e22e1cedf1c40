"""What was asked of each run, field by field: what differs, and whether the difference is a choice of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prunekit.comparison.columns import SettingRow
from prunekit.config.recovery import Recovery
from prunekit.config.spec import NEEDS_DATA, PruneSpec
from prunekit.experiments.records import Run
from prunekit.formatting import asked, ordinary

ABSENT = "–"
IMAGES, KIND, PARENT = "images it learned from", "kind", "made from"
ORIGIN = (KIND, PARENT)
MOST_DIFFERING = 2  # more, and a change of outcome cannot be put down to one of them
MADE_HERE = ("dense", "trained", "pruned", "recovered")  # rows of their own say what was done to these


class Value(NamedTuple):
    """A field of one run: what it is told apart by, and how it is read. None stands for a field that does not apply."""

    key: Any
    text: str


Values = dict[str, Value | None]


def setting_rows(runs: Sequence[Run], letters: Mapping[str, str]) -> tuple[SettingRow, ...]:
    """Return a row for each setting that differs, or is not the default wherever it applies.

    Parameters
    ----------
    runs : sequence of Run
        In the order of the columns.
    letters : mapping of str to str
        Id of a run to its letter, the dense model's among them.

    Returns
    -------
    tuple of SettingRow
        A difference counts where two runs to which the setting applies have other values of it.
    """
    told = [_values(run, letters) for run in runs]
    names = list(dict.fromkeys(name for values in told for name in values))
    columns = {name: [values.get(name) for values in told] for name in names}
    rows = [(_row(name, values), _is_usual(values, USUAL.get(name))) for name, values in columns.items()]
    return tuple(row for row, usual in rows if row.counts or (row.name != IMAGES and not usual) or (row.name in ORIGIN and row.differs))


def _row(name: str, values: Sequence[Value | None]) -> SettingRow:
    """Return the row of one field."""
    texts = tuple(ABSENT if value is None else value.text for value in values)
    keys = {_frozen(value.key) for value in values if value is not None}
    # hashes tell images apart among equal uses only: (use, hash)
    counts = len(keys) > len({use for use, _ in keys}) if name == IMAGES else len(keys) > 1
    return SettingRow(name, texts, len(set(texts)) > 1, counts)


def _is_usual(values: Sequence[Value | None], usual: Value | None) -> bool:
    """Whether a field has its default wherever it applies."""
    return all(value is None or (usual is not None and value.key == usual.key) for value in values)


def _frozen(key: Any) -> Any:
    """Return a key that can be hashed."""
    if isinstance(key, Mapping):
        return tuple(sorted((name, _frozen(value)) for name, value in key.items()))
    return tuple(key) if isinstance(key, list) else key


def differing(rows: Sequence[SettingRow]) -> tuple[str, ...]:
    """Return the names of the settings that differ and count."""
    return tuple(row.name for row in rows if row.differs and row.counts)


def caution(names: Sequence[str], letters: Sequence[str]) -> str:
    """Return why a difference in outcome says nothing of any one setting, "" where it does.

    Parameters
    ----------
    names : sequence of str
        Settings that differ.
    letters : sequence of str
        Of the runs.
    """
    if len(names) <= MOST_DIFFERING:
        return ""
    which = f"{', '.join(letters[:-1])} and {letters[-1]}"
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return (
        f"{which} differ in {len(names)} settings ({listed}): each stands for itself, and a difference in outcome cannot be put down to "
        "any one of them"
    )


def _values(run: Run, letters: Mapping[str, str]) -> Values:
    """Return all fields of a run."""
    origin = "here" if run.kind in MADE_HERE else run.kind
    images = (_looked(run), run.trained_on) if run.trained_on else None
    return {
        KIND: Value(origin, run.kind),
        **({} if run.spec is None else _pruning(run.spec)),
        **_recovering(run.recovery),
        IMAGES: images and Value(images, run.trained_on[:8]),
        PARENT: None if run.parent is None else Value(_before(run), letters.get(run.parent, run.parent[:12])),
    }


def _before(run: Run) -> Any:
    """Return what tells parents apart beyond what the other rows say: setting and recovery say all of runs that were made here."""
    return "dense" if run.kind in (*MADE_HERE, "quantised") else run.parent


def _looked(run: Run) -> tuple[object, ...]:
    """Return what images were used for."""
    recovery = Recovery.from_dict(run.recovery or {})
    scored = run.spec is not None and run.spec.get("criterion") in NEEDS_DATA
    return (run.kind == "quantised", scored, recovery.active, bool(recovery.epochs))


def _plain(value: Any) -> Value:
    """Return a plain value as it is read."""
    if isinstance(value, bool):
        return Value(value, "yes" if value else "no")
    return Value(value, f"{value:g}" if isinstance(value, float) else str(value))


def _pruning(spec: Mapping[str, Any]) -> Values:
    """Return the fields of the setting."""
    spec = {**PruneSpec().to_dict(), **spec}
    structured = spec["mode"] == "structured"
    return {
        "mode": _plain(spec["mode"]),
        "removed": amount(spec),
        "criterion": _plain(spec["criterion"]),
        "scope": None if spec["mode"] == "nm" or _each_has_its_own(spec) else _plain(spec["scope"]),
        "counted in": _plain(spec["target"]) if structured else None,
        "multiples of": _plain(spec["round_to"]) if structured else None,
        "units that may go": Value(spec["units"], "all" if spec["units"] is None else ", ".join(spec["units"])) if structured else None,
        "whole blocks": Value(spec["depth"], ordinary(asked(spec["depth"]))) if structured else None,
        "blocks that may go": Value(spec["blocks"], "all" if spec["blocks"] is None else ", ".join(spec["blocks"])) if structured else None,
        "layers": Value(spec["layers"], "default" if spec["layers"] is None else ", ".join(spec["layers"])),
        "own shares": Value(spec["overrides"], _shares(spec["overrides"])),
        "caps": Value(spec["caps"], _shares(spec["caps"])),
        "cap of every layer": Value(spec["cap_all"], "none" if spec["cap_all"] is None else ordinary(asked(spec["cap_all"]))),
        "images to score on": _plain(spec["samples"]) if spec["criterion"] in NEEDS_DATA else None,
        "seed": _plain(spec["seed"]),
    }


def _each_has_its_own(spec: Mapping[str, Any]) -> bool:
    """Whether each layer that takes part has a share of its own, so that no scope decides anything."""
    return bool(spec["layers"]) and set(spec["layers"]) <= set(spec["overrides"])


def amount(spec: Mapping[str, Any]) -> Value:
    """Return how much goes: a pattern, a threshold or a share.

    Parameters
    ----------
    spec : mapping
        Plain fields of a ``PruneSpec``.
    """
    spec = {**PruneSpec().to_dict(), **spec}
    if spec["mode"] == "nm":
        return Value(("pattern", spec["pattern"]), str(spec["pattern"]))
    if spec["threshold"] is not None:
        return Value(("threshold", spec["threshold"]), f"below {spec['threshold']:g}")
    return Value(("share", spec["sparsity"]), ordinary(asked(float(spec["sparsity"] or 0))))


def _shares(shares: Mapping[str, float]) -> str:
    """Return shares of single layers."""
    return ", ".join(f"{name} {ordinary(asked(share))}" for name, share in sorted(shares.items())) or "none"


def _recovering(recovery: Mapping[str, Any] | None) -> Values:
    """Return the fields of what was done after pruning; those of fine-tuning apply only where there was any."""
    told = Recovery.from_dict(recovery or {})
    tuned = told.epochs > 0
    fine = {
        "schedule": told.schedule,
        "optimizer": told.optimizer,
        "learning rate": told.lr if told.rate != "rewind" else None,
        "course of the rate": told.rate,
        "momentum": told.momentum,
        "weight decay": told.weight_decay,
        "batch size": told.batch_size,
        "images to train on": told.train_images or "all",
        "distilled": told.distill,
        "temperature": told.temperature if told.distill else None,
        "steps": told.steps if told.schedule != "one-shot" else None,
    }
    return {
        "recalibrated": _plain(told.recalibrate),
        "epochs of fine-tuning": _plain(told.epochs),
        "images to recalibrate on": _plain(told.images) if told.recalibrate else None,
        **{name: _plain(value) if tuned and value is not None else None for name, value in fine.items()},
        "augmented": _plain(told.augment) if told.active else None,
        "seed of training": _plain(told.seed) if told.active else None,
    }


def _defaults() -> Values:
    """Return the default of every field, under a setting to which it applies."""
    scored = {**PruneSpec(mode="structured").to_dict(), "criterion": NEEDS_DATA[0]}
    trained = Recovery(recalibrate=True, epochs=2, schedule="agp", steps=2, distill=0.5).to_dict()
    plain = {**_pruning(PruneSpec().to_dict()), "removed": None, **_recovering(None), KIND: Value("here", ""), PARENT: Value("dense", "")}
    every = {**_pruning(scored), **_recovering(trained), "distilled": Value(0.0, ""), "schedule": Value("one-shot", ""), "steps": None}
    return {**every, **{name: value for name, value in plain.items() if value is not None or name == "removed"}}


USUAL = _defaults()
