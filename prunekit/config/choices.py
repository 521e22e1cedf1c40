"""What a setting may choose from, and which choices go together: the one table that the core, the command line and the screen share."""

from __future__ import annotations

from prunekit.errors import SpecError, one_of

MODES = ("unstructured", "nm", "structured")
WEIGHT_CRITERIA = ("l1", "l2", "random", "lamp", "taylor", "snip", "wanda")
CHANNEL_CRITERIA = ("l1", "l2", "random", "taylor", "bn_scale", "fpgm")
CRITERIA = tuple(dict.fromkeys((*WEIGHT_CRITERIA, *CHANNEL_CRITERIA)))
NEEDS_DATA = ("taylor", "snip", "wanda")
SCOPES = ("global", "uniform", "erk")
TARGETS = ("channels", "params", "macs")
ROUNDS = (1, 4, 8, 16)
UNITS = ("channels", "heads", "head dimensions")
RUNTIMES = ("eager", "channels_last", "bfloat16", "compile", "onnxruntime", "openvino", "int8", "openvino_int8", "csr")
DEVICES = ("cpu", "cuda")
RUN_KINDS = ("dense", "pruned", "recovered", "trained", "quantised", "imported")

_SINGLE = {
    "lamp": "LAMP compares single weights within a layer",
    "snip": "SNIP is the sensitivity of single connections; Taylor is its counterpart for channels",
    "wanda": "Wanda compares single weights by the input that each of them sees",
}
_WHOLE = {
    "bn_scale": "the scale of a BatchNorm belongs to a whole channel",
    "fpgm": "FPGM compares whole filters with each other",
}


def default_scope(mode: str) -> str:
    """Return the scope of a mode when none is named."""
    return "uniform" if mode == "nm" else "global"


def refusal(mode: str, criterion: str, scope: str) -> str | None:
    """Return why three choices do not go together, or None where they do.

    Parameters
    ----------
    mode, criterion, scope : str
        Each one valid by itself.

    Returns
    -------
    str or None
        A sentence that says what to choose instead.
    """
    if mode == "structured" and criterion in _SINGLE:
        return f"criterion {criterion!r} does not score channels: {_SINGLE[criterion]}. Choose one of {', '.join(CHANNEL_CRITERIA)}"
    if mode != "structured" and criterion in _WHOLE:
        return f"criterion {criterion!r} does not score single weights: {_WHOLE[criterion]}. Choose one of {', '.join(WEIGHT_CRITERIA)}"
    if mode == "nm" and scope != "uniform":
        return f"scope {scope!r} does not go with mode 'nm': the pattern sets the share of every layer. Leave the scope out"
    if mode == "structured" and scope == "erk":
        return (
            "scope 'erk' does not go with mode 'structured': it shares out single weights by the shape of one layer, and channels "
            "are coupled over several layers. Choose global or uniform"
        )
    return None


def check_choices(mode: object, criterion: object, scope: object) -> None:
    """Raise unless mode, criterion and scope are known and go together.

    Raises
    ------
    SpecError
        Naming the field and what is allowed.
    """
    one_of("mode", mode, MODES)
    one_of("criterion", criterion, CRITERIA)
    one_of("scope", scope, SCOPES)
    reason = refusal(str(mode), str(criterion), str(scope))
    if reason:
        raise SpecError(reason)


def criteria_of(mode: str) -> tuple[str, ...]:
    """Return the criteria that a mode offers."""
    return CHANNEL_CRITERIA if mode == "structured" else WEIGHT_CRITERIA


def scopes_of(mode: str) -> tuple[str, ...]:
    """Return the scopes that a mode offers; the same for all its criteria."""
    return tuple(scope for scope in SCOPES if refusal(mode, "l1", scope) is None)
