"""The tables of every setting: the table of fields, as the page shows it."""

from __future__ import annotations

from dataclasses import MISSING

from prunekit.config.field_table import GoalFields, SamplingFields, TimingFields
from prunekit.config.fields import Setting, table
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery, Training
from prunekit.config.spec import PruneSpec

START, END = "<!-- settings -->", "<!-- /settings -->"
GROUPS = {
    "Model and data": (ModelId, DataId),
    "Pruning": (PruneSpec,),
    "Recovery": (Recovery,),
    "Training from random weights": (Training,),
    "Measuring": (TimingFields, SamplingFields, GoalFields),
}
HEADER = ("field", "on the screen", "flag", "in an address", "takes", "default", "has an effect", "what it does")


def cells(name: str, row: Setting) -> tuple[str, ...]:
    """Return one line of a table."""
    code = (f"`{word}`" if word else "" for word in (row.option if row.flag else "", row.address))
    told = row.default not in (None, "", (), MISSING)
    return f"`{name}`", row.label, *code, row.kind.allowed, row.usual or (row.text(row.default) if told else ""), row.condition, row.help


def markdown() -> str:
    """Return the tables of all groups, between their marks."""
    parts = [START]
    for title, classes in GROUPS.items():
        rows = [HEADER, ("---",) * len(HEADER), *(cells(name, row) for cls in classes for name, row in table(cls).items())]
        parts += [f"**{title}**", "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)]
    return "\n\n".join([*parts, END])


def filled(page: str) -> str:
    """Return a page with its tables of settings as they are now."""
    head, _, rest = page.partition(START)
    return f"{head}{markdown()}{rest.partition(END)[2]}" if rest else page
