"""The report of a comparison with every picture that can be drawn from what is stored."""

from __future__ import annotations

from dataclasses import replace

from prunekit.comparison.comparison import Comparison
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.records import QUALITY
from prunekit.experiments.store import RunStore
from prunekit.reports import pictures
from prunekit.reports.material import Shapes, family, said, shapes
from prunekit.reports.page import html
from prunekit.reports.pictures import Picture, View


def report(
    comparison: Comparison, store: RunStore, view: View | None = None, *, found: Shapes | None = None, address: str = "",
    progress: Progress = QUIET,
) -> str:  # fmt: skip
    """Return the HTML report of a comparison.

    Parameters
    ----------
    comparison : Comparison
        What was compared.
    store : RunStore
        Where the runs are: they are opened to look at their layers and weights. What they predict is drawn where it is stored.
    view : View, optional
        How it is looked at.
    found : Shapes, optional
        What the runs look like, where that is known already.
    address : str
        Where the same comparison shows in the dashboard.
    progress : Progress, optional
        Told how far the work is.

    Returns
    -------
    str
        As `html`.
    """
    look = view or View()
    seen = found if found is not None else shapes(comparison, store, progress=progress)
    drawn: list[Picture] = [*_tradeoff(comparison, look), *pictures.of_layers(seen, look), *pictures.of_weights(seen, look)]
    drawn += pictures.of_masks(seen, look)
    try:
        told = said(comparison, store)
    except PrunekitError:  # the data are not at hand: the rest of the report does not need them
        told = None
    if told is not None:
        drawn += pictures.of_behaviour(told, look)
    drawn += pictures.of_family(family(comparison, store.runs(), accuracies(store, comparison)), comparison.quality)
    return html(comparison, drawn, relative=look.relative, address=address)


def _tradeoff(comparison: Comparison, look: View) -> list[Picture]:
    """Return the picture of the trade-off with what is best within the budget in its caption."""
    _, sentence = pictures.budget(comparison, look)
    drawn = pictures.of_tradeoff(comparison, look)
    return [replace(one, caption=f"**{sentence}** {one.caption}" if sentence else one.caption) for one in drawn]


def accuracies(store: RunStore, comparison: Comparison) -> dict[str, float]:
    """Return the quality by run of all that were measured on the images of a comparison: steps between others would mean nothing."""
    on = (comparison.data_id, comparison.split, comparison.images, comparison.quality.name)
    found = [m for what in QUALITY for seen in store.all_measurements(what).values() for m in seen if m.metric is not None]
    return {m.run: float(m.value["value"]) for m in found if (m.data, m.split, m.n, (m.metric or {})["name"]) == on}
