"""What a run is called in a comparison: a letter, in order of picking."""

from __future__ import annotations

from collections.abc import Sequence

from prunekit.errors import PrunekitError

DENSE = "Dense"
LETTERS = "ABCDEF"
FEWEST, MOST = 2, len(LETTERS)


def letters(run_ids: Sequence[str], baseline: str | None = None) -> dict[str, str]:
    """Return the letter of each run by its id, in order of picking.

    Parameters
    ----------
    run_ids : sequence of str
        Full ids; one that is picked twice counts once.
    baseline : str, optional
        The dense model's run: it is called "Dense" and takes no letter, picked or not.

    Returns
    -------
    dict of str to str
        The baseline first where it is given.

    Raises
    ------
    PrunekitError
        If there are more runs than letters.
    """
    picked = [run for run in dict.fromkeys(run_ids) if run != baseline]
    if len(picked) > MOST:
        raise PrunekitError(f"pick at most {MOST} runs; got {len(picked)}")
    return {**({} if baseline is None else {baseline: DENSE}), **dict(zip(picked, LETTERS, strict=False))}
