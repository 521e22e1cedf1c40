"""Settings of runs compared field by field: which differ, and whether the difference was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prunekit.comparison.columns import SettingRow
from prunekit.config.choices import NEEDS_DATA
from prunekit.config.fields import table
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.experiments.records import Run
from prunekit.formatting import asked, ordinary

ABSENT = "–"
IMAGES, KIND, PARENT = "images it learned from", "kind", "made from"
ORIGIN = (KIND, PARENT)
REMOVED, SCOPE = (table(PruneSpec)[name].noun for name in ("sparsity", "scope"))
CUTS = tuple(table(PruneSpec)[name].noun for name in ("threshold", "pattern"))  # told under what is removed
MOST_DIFFERING = 2  # more, and a change of outcome cannot be put down to one of them
MADE_HERE = ("dense", "trained", "pruned", "recovered")  # rows of their own say what was done to these


class Value(NamedTuple):
    """A field of one run: what it is told apart by, and how it is read. None stands for a field that does not apply."""

    key: Any
    text: str


Values = dict[str, Value | None]


def setting_rows(runs: Sequence[Run], letters: Mapping[str, str]) -> tuple[SettingRow, ...]:
    """Return a row for each setting that differs, or is not the default wherever it applies."""
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
    """Return why a difference in outcome says nothing of any one setting, "" where it does."""
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
    pruning = {} if run.spec is None else {**_fields(PruneSpec, run.spec), REMOVED: amount(run.spec)}
    pruning |= {SCOPE: None} if run.spec is not None and _each_has_its_own(run.spec) else {}
    return {
        KIND: Value(origin, run.kind),
        **{name: value for name, value in pruning.items() if name not in CUTS},
        **_fields(Recovery, run.recovery or {}),
        IMAGES: images and Value(images, run.trained_on[:8]),
        PARENT: None if run.parent is None else Value(_before(run), letters.get(run.parent, run.parent[:12])),
    }


def _fields(cls: type[PruneSpec | Recovery], values: Mapping[str, Any]) -> Values:
    """Return the fields of a setting under their labels; what a run of an earlier version does not say has its default."""
    told = {**cls().to_dict(), **values}
    return {row.noun: Value(told[name], row.text(told[name])) if row.applies(told) else None for name, row in table(cls).items()}


def _before(run: Run) -> Any:
    """Return what tells parents apart beyond what the other rows say: setting and recovery say all of runs that were made here."""
    return "dense" if run.kind in (*MADE_HERE, "quantised") else run.parent


def _looked(run: Run) -> tuple[object, ...]:
    """Return what images were used for."""
    recovery = Recovery.from_dict(run.recovery or {})
    spec = run.spec or {}
    rows = bool(spec.get("rows") or spec.get("row_shares")) and spec.get("row_criterion") != "norm"
    scored = spec.get("criterion") in NEEDS_DATA or bool(spec.get("remove_layers")) or rows
    return (run.kind == "quantised", scored, recovery.active, bool(recovery.epochs))


def _each_has_its_own(spec: Mapping[str, Any]) -> bool:
    """Whether each layer that takes part has a share of its own, so that no scope decides anything."""
    return bool(spec.get("layers")) and set(spec["layers"]) <= set(spec["overrides"])


def amount(spec: Mapping[str, Any]) -> Value:
    """Return how much goes: a pattern, a threshold or a share."""
    spec = {**PruneSpec().to_dict(), **spec}
    if spec["mode"] == "nm":
        return Value(("pattern", spec["pattern"]), str(spec["pattern"]))
    if spec["threshold"] is not None:
        return Value(("threshold", spec["threshold"]), f"below {spec['threshold']:g}")
    return Value(("share", spec["sparsity"]), ordinary(asked(float(spec["sparsity"] or 0))))


def _defaults() -> Values:
    """Return the default of every field; how much goes has none."""
    plain = {**PruneSpec(mode="structured").to_dict(), "mode": PruneSpec.mode}, Recovery().to_dict()
    rows = ((row.noun, values[name]) for cls, values in zip((PruneSpec, Recovery), plain, strict=True) for name, row in table(cls).items())
    return {**{name: Value(value, "") for name, value in rows}, REMOVED: None, KIND: Value("here", ""), PARENT: Value("dense", "")}


USUAL = _defaults()
