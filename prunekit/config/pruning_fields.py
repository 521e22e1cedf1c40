"""The fields of a pruning setting: one line each in the table of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prunekit.config import choices
from prunekit.config.choices import NEEDS_DATA, SEEDED
from prunekit.config.fields import setting
from prunekit.config.kinds import Number, OneOf, Pattern, Share, Whole, YesNo
from prunekit.config.several_kinds import Indices, JointShares, Names, Several, Shares

Layer = TypeVar("Layer")

MODES = OneOf(
    dict(zip(choices.MODES, ("Unstructured", "N:M", "Structured"), strict=True)),
    {
        "unstructured": "single weights become zero, every layer keeps its size",
        "nm": "of every M consecutive weights N stay, which some hardware can use. A pattern has one sparsity, so there is no slider and "
        "no curve of it",
        "structured": "whole channels leave, layers become smaller",
    },
)
SCOPE = OneOf(
    dict(
        zip(
            choices.SCOPES,
            (
                *("All layers together", "The same share of each layer", "Shared out by shape (ERK)", "The same share of each output"),
                "Like groups together",
            ),
            strict=True,
        )
    ),
    {
        "global": "what is weakest anywhere goes first, so layers lose different shares",
        "uniform": "every layer gives equally",
        "isomorphic": "groups of channels that are built alike compete with each other, and every such set gives as much (Fang et al. "
        "2024, arXiv:2407.04616)",
        "erk": "wide layers give more than narrow ones (Erdős–Rényi kernel; Evci et al. 2020, arXiv:1911.11134)",
        "row": "every output of a layer gives equally, as Wanda has it in language models (Sun et al. 2023, arXiv:2306.11695)",
    },
)
UNITS = OneOf(
    dict(zip(choices.UNITS, ("Channels", "Heads", "Dimensions of heads"), strict=True)),
    {
        "channels": "of convolutions and linear layers",
        "heads": "of attention go whole: the queries, keys and values of one",
        "head dimensions": "every head loses as many, so that all stay equally wide",
    },
)
TARGET = OneOf(dict(zip(choices.TARGETS, ("Channels", "Parameters", "MACs"), strict=True)))
CRITERION = OneOf(choices.LiveTitles())
REDUCTION = OneOf(
    dict(zip(choices.REDUCTIONS, ("Mean", "Largest", "Product", "First layer", "Sum"), strict=True)),
    {
        "mean": "every layer that shrinks together says as much",
        "max": "what is important in one place stays",
        "prod": "what is unimportant in one place goes",
        "first": "the layer that is defined first decides",
        "sum": "channels that many layers share weigh more",
    },
)
NORMALISER = OneOf(
    dict(zip(choices.NORMALISERS, ("Nothing", "Mean", "Largest", "Sum", "Range", "Mean and spread"), strict=True)),
    {
        "none": "layers of larger weights keep more",
        "mean": "one is an average channel of its layer",
        "max": "one is the best channel of its layer",
        "sum": "a channel's part of its layer: wide layers give more",
        "range": "from 0, the least of its layer, to 1, the best",
        "gaussian": "standard deviations above or below the mean of its layer",
    },
)
CAP = Share("the largest share that may be removed", whole=True)

SHARED_OUT = {"mode": ("unstructured", "structured")}
STRUCTURED = {"mode": ("structured",)}
BY_DATA = {"criterion": NEEDS_DATA}
BY_READERS = {"mode": ("structured",), "criterion": choices.WITH_READERS}
BY_CHANCE = {"criterion": SEEDED}
LAYERS = "see prunekit inspect for their names"


@dataclass(frozen=True)
class PruneFields(Generic[Layer]):
    """Every field of a pruning setting, its layers named or by their place."""

    mode: str = setting("unstructured", MODES, "Mode", "zero single weights, keep N of every M (nm), or physically remove channels")
    sparsity: float | None = setting(
        None, Share(step=0.5), "Removed", "share to remove; the pattern of mode nm sets its own, and what whole blocks take along counts",
    )  # fmt: skip
    threshold: float | None = setting(
        None, Number(least=0), "Threshold", "remove what scores below it instead, in the criterion's unit (1 is an average channel)",
        address="", when=SHARED_OUT,
    )  # fmt: skip
    criterion: str = setting("l1", CRITERION, "Criterion", f"how importance is scored; {', '.join(NEEDS_DATA)} need training data")
    scope: str = setting(
        "", SCOPE, "Scope", "rank all layers together, take the same share of each or of each output, or share out by their shapes",
        usual="global; nm is uniform", when=SHARED_OUT,
    )  # fmt: skip
    layers: tuple[Layer, ...] | None = setting(None, Names("layer"), "Layers", f"layers to prune; {LAYERS}", usual="the mode's own choice")
    overrides: tuple[tuple[Layer, float], ...] = setting(
        (), Shares(Share()), "Own shares", "fixed sparsity of one layer; the others make up the total", flag="override", when=SHARED_OUT
    )
    caps: tuple[tuple[Layer, float], ...] = setting(
        (),
        Shares(CAP),
        "Caps",
        "largest share that may go from one layer; a residual block that holds one stays",
        flag="cap",
        when=SHARED_OUT,
    )
    shares: tuple[tuple[Any, float], ...] = setting(
        (), JointShares(Share()), "Joint shares",
        "fixed sparsity of several layers together, by names, blocks or patterns such as layer3.*; the scope shares it out among them",
        flag="share", when=SHARED_OUT,
    )  # fmt: skip
    cap_all: float | None = setting(
        None, CAP, "Cap of every layer", "most that may go from any layer that stays; whole blocks go whatever it says", usual="none",
        when=SHARED_OUT,
    )  # fmt: skip
    pattern: str | None = setting(
        None, Pattern(), "Pattern", "N of every M consecutive weights along the inputs stay", usual="2:4", when={"mode": ("nm",)}
    )
    target: str | None = setting(
        None, TARGET, "Counted in",
        "what the sparsity counts: channels of the chosen layers, or parameters or multiply-accumulates of the whole model, which whole "
        "channels hit as nearly as they can", usual="channels", when=STRUCTURED,
    )  # fmt: skip
    round_to: int = setting(
        1, Whole(1, (1, 4096)), "Multiples of",
        "keep a multiple of so many channels of every layer that shrinks: odd numbers are slow on most machines",
        flag="round", when=STRUCTURED,
    )  # fmt: skip
    samples: int = setting(
        512, Whole(1, (1, 100_000), 128), "Samples to score on", "training samples to score on, a fixed stratified choice", when=BY_DATA
    )
    units: tuple[str, ...] | None = setting(
        None, Several(UNITS, len(UNITS.titles), all_is_none=True), "Units that may go",
        f"which kinds of units may go, of {', '.join(UNITS.titles)}", usual="all", when=STRUCTURED,
    )  # fmt: skip
    depth: float | None = setting(
        None, Share("the share of the blocks that are removed", whole=True), "Whole blocks",
        "share of the removable residual blocks that go as a whole, those of the lowest score first", usual="0, or 1 with blocks",
        when=STRUCTURED,
    )  # fmt: skip
    blocks: tuple[str, ...] | None = setting(
        None, Names("block"), "Blocks that may go", f"residual blocks that may go; {LAYERS}", usual="all", when=STRUCTURED
    )
    consumers: bool = setting(
        False, YesNo(), "Count the readers", "score a channel also by the columns of the layers that read it", when=BY_READERS
    )
    reduction: str = setting(
        "mean", REDUCTION, "Joined by", "what is made of the scores that one channel has in several layers", when=STRUCTURED
    )
    normaliser: str = setting(
        "mean", NORMALISER, "Scores over", "what of its layer a channel's score is taken relative to, before it is joined", when=STRUCTURED
    )
    indices: tuple[tuple[Any, tuple[int, ...]], ...] = setting(
        (), Indices(), "Named channels", "remove these outputs of a layer, from 0, with all that is coupled to them, and nothing else",
        address="", when=STRUCTURED,
    )  # fmt: skip
    soft: bool = setting(
        False, YesNo(), "Keep the shape", "let the channels that go become zero instead of removing them: soft pruning",
        address="", when=STRUCTURED,
    )  # fmt: skip
    seed: int = setting(0, Whole(0, (0, 2**53 - 1)), "Seed", "seed of whatever is random", when=BY_CHANCE)
