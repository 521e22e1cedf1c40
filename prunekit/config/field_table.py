"""The table of fields: one line for each setting of pruning, recovery, training and measuring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from prunekit.config import choices
from prunekit.config.choices import DEVICES, NEEDS_DATA, RUNTIMES, SEEDED
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
    dict(zip(choices.UNITS, ("Channels", "Heads", "Dimensions of heads", "Experts"), strict=True)),
    {
        "channels": "of convolutions and linear layers",
        "heads": "of attention go whole: the queries, keys and values of one",
        "head dimensions": "every head loses as many, so that all stay equally wide",
        "experts": "with their places in the router that chooses between them",
    },
)
TARGET = OneOf(dict(zip(choices.TARGETS, ("Channels", "Parameters", "MACs", "Bytes on disk"), strict=True)))
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
ROWS = OneOf(
    dict(zip(choices.ROW_CRITERIA, ("Lookups", "L2 norm", "Taylor", "Lookups times norm"), strict=True)),
    {
        "frequency": "what is looked up least in training data goes first",
        "norm": "the shortest rows go first; looks at no data, and what stands for them is their plain mean",
        "taylor": "rows by which the loss on training samples changes least, to first order, go first",
        "both": "how often a row is looked up, times its norm relative to the mean of its table",
    },
)
CAP = Share("the largest share that may be removed", whole=True)

SHARED_OUT = {"mode": ("unstructured", "structured")}
STRUCTURED = {"mode": ("structured",)}
WITH_ROWS: tuple[dict[str, Any], ...] = ({"rows": None}, {"row_shares": None})
OF_ROWS: tuple[dict[str, Any], ...] = tuple({**STRUCTURED, **each} for each in WITH_ROWS)
BY_DATA: tuple[dict[str, Any], ...] = (
    {"criterion": NEEDS_DATA},
    {"remove_layers": None},
    *({**each, "row_criterion": ("taylor",)} for each in WITH_ROWS),
)
BY_READERS = {"mode": ("structured",), "criterion": choices.WITH_READERS}
BY_CHANCE = ({"criterion": SEEDED}, *BY_DATA[1:])
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
    criterion: str = setting(
        choices.DEFAULT_CRITERION, CRITERION, "Criterion", f"how importance is scored; {', '.join(NEEDS_DATA)} need training data"
    )
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
        "what the sparsity counts: channels of the chosen layers, or parameters, multiply-accumulates or bytes of the whole model's "
        "weights, which whole channels hit as nearly as they can", usual="channels", when=STRUCTURED,
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
    remove_layers: int = setting(
        0, Whole(0, (0, 1000)), "Layers by influence",
        "remove so many whole blocks, such as the layers of a transformer: those that turn what passes through them least on training "
        "samples (block influence; Men et al. 2024, arXiv:2403.03853)", when=STRUCTURED,
    )  # fmt: skip
    rows: float = setting(
        0.0, Share("the share of the rows of embedding tables that are removed"), "Rows of tables",
        "share of the rows of embedding tables that go; one row of each stands for all that went, found through a remap of the ids. Scope "
        "global ranks the rows of all tables together, any other takes the same share of each", when=STRUCTURED,
    )  # fmt: skip
    row_criterion: str = setting(
        "frequency", ROWS, "Rows by", "how the importance of a row is scored; all but norm need training data", when=OF_ROWS
    )
    row_shares: tuple[tuple[str, float], ...] = setting(
        (), Shares(Share()), "Rows of one table", "share of the rows of one table that go, 0 for none of them; rows is that of the others",
        flag="row-share", when=STRUCTURED,
    )  # fmt: skip
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


OPTIMIZER = OneOf({"sgd": "SGD", "adam": "Adam"})
RATE = OneOf({"cosine": "Falls along a cosine", "rewind": "Rewound: as at the end of the model's own training", "constant": "Stays"})
SCHEDULE = OneOf(
    {"one-shot": "Once (one-shot)", "iterative": "Iterative", "agp": "AGP (cubic)", "linear": "Linear"},
    {
        "one-shot": "one cut, then all epochs",
        "iterative": "every cut removes the same share of what is left (Han et al. 2015)",
        "agp": "much at first, ever less later (Zhu and Gupta 2017)",
        "linear": "the same amount at every cut. The gradual ones fine-tune after every cut and need one for each, or none at all",
    },
)
PREPARE = OneOf(
    {"none": "No", "group_lasso": "Group lasso", "bn_scale": "Scales of BatchNorm", "growing": "Growing decay"},
    {
        "none": "the model is cut as it is",
        "group_lasso": "the norm of each channel, with all that is coupled to it, is penalised (Fang et al. 2023, arXiv:2301.12900)",
        "bn_scale": "the size of its scale in BatchNorm is (Liu et al. 2017, arXiv:1708.06519)",
        "growing": "what will go is chosen first and decays ever faster (Wang et al. 2021, arXiv:2012.09243)",
    },
)
PREPARED = {"prepare": ("group_lasso", "bn_scale", "growing")}
SEED = Whole(0, (0, 2**53 - 1))
IMAGES = Whole(0, (0, 10_000_000), 500)

TUNED = {"epochs": None}
TRAINS = (TUNED, PREPARED)
ACTIVE = (*TRAINS, {"recalibrate": None})
NOWHERE: dict[str, Any] = {"flag": "", "address": ""}
GRADUAL = {"schedule": ("iterative", "agp", "linear")}


@dataclass(frozen=True)
class RecoveryFields:
    """Every field of a recovery."""

    recalibrate: bool = setting(
        False, YesNo(), "Recalibrate BatchNorm",
        "measure the statistics of BatchNorm again, on training samples, after the last cut and before the fine-tuning that follows it: "
        "cheap, and often most of the way back",
    )  # fmt: skip
    images: int = setting(
        2048, Whole(1, (1, 10_000_000), 512), "Samples to recalibrate on", "how many training samples recalibration looks at",
        flag="recalibration-images", address="recalibration_images", when={"recalibrate": None},
    )  # fmt: skip
    epochs: int = setting(
        0, Whole(0, (0, 200)), "Epochs of fine-tuning", "fine-tune over so many epochs, in all; a schedule shares them out"
    )
    optimizer: str = setting("sgd", OPTIMIZER, "Optimizer", "SGD with Nesterov momentum, or Adam", when=TRAINS)
    lr: float = setting(
        0.01, Number(least=0, screen=(0, 10), step=0.001), "Learning rate", "peak learning rate; the rate rewind has its own",
        when=tuple({**trains, "rate": ("cosine", "constant")} for trains in TRAINS),
    )  # fmt: skip
    rate: str = setting(
        "cosine", RATE, "Course of the rate",
        "how the learning rate falls: along a cosine, as over the last epochs of the model's own training (Renda, Frankle and Carbin 2020, "
        "arXiv:2003.02389), or not at all", when=TRAINS,
    )  # fmt: skip
    momentum: float = setting(
        0.9, Number(least=0, below=1, screen=(0, 0.9999), step=0.05), "Momentum", "of SGD; Adam's first decay rate", when=TRAINS
    )
    weight_decay: float = setting(
        5e-4, Number(least=0, screen=(0, 10), step=0.0001), "Weight decay", "L2 penalty on weights; biases and norms have none", when=TRAINS
    )
    batch_size: int = setting(128, Whole(2, (2, 65_536), 32), "Batch size", "samples a step", when=TRAINS)
    augment: bool = setting(
        True, YesNo(), "Augmentation", "shift and mirror pictures as in the model's own training; models without a card have none",
        when=ACTIVE,
    )  # fmt: skip
    distill: float = setting(
        0.0, Share("the weight of the dense model's predictions in the loss", whole=True), "Distillation",
        "weight of the dense model's softened predictions in the loss; the labels have the rest (Hinton et al. 2015, arXiv:1503.02531)",
        when=TUNED,
    )  # fmt: skip
    temperature: float = setting(
        2.0, Number(above=0, screen=(0.1, 100), step=0.5), "Temperature", "softens the predictions that are distilled",
        when={"epochs": None, "distill": None},
    )  # fmt: skip
    schedule: str = setting(
        "one-shot", SCHEDULE, "Schedule", "cut once, or ever further, each cut scored anew, with its share of the epochs after it"
    )
    steps: int = setting(1, Whole(1, (2, 100)), "Steps", "cuts of a gradual schedule", when=GRADUAL)
    train_images: int = setting(
        0, IMAGES, "Samples to train on", "fine-tune on a fixed stratified subset: quicker, and not as good", usual="all", when=TRAINS
    )
    seed: int = setting(
        0, SEED, "Seed of training", "seed of the order of samples and their augmentation", flag="recovery-seed", address="", when=ACTIVE,
    )  # fmt: skip
    prepare: str = setting(
        "none", PREPARE, "Prepare", "train with a penalty before the cut, so that what goes is small by then; for whole channels", when=()
    )
    prepare_epochs: int = setting(
        5, Whole(1, (1, 200)), "Epochs of preparation", "passes over the training samples before the cut", when=PREPARED
    )
    penalty: float | None = setting(
        None, Number(least=0, screen=(0, 100), step=0.001), "Penalty", "strength of what prepares", usual="0.001, of growing 1",
        address="", when=PREPARED,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingFields:
    """Every field of training from random weights; None is what the sample's own recipe says."""

    epochs: int | None = setting(
        None, Whole(1, (1, 200)), "Epochs", "passes over the training samples: one cycle of the learning rate", **NOWHERE
    )
    lr: float | None = setting(None, Number(least=0, screen=(0, 10), step=0.001), "Learning rate", "peak learning rate", **NOWHERE)
    batch_size: int | None = setting(None, Whole(2, (2, 65_536), 32), "Batch size", "samples a step", **NOWHERE)
    weight_decay: float | None = setting(
        None, Number(least=0, screen=(0, 10)), "Weight decay", "L2 penalty on weights, not on biases and norms", **NOWHERE
    )
    augment: bool = setting(True, YesNo(), "Augmentation", "shift and mirror pictures as the recipe says", **NOWHERE)
    train_images: int = setting(
        0, IMAGES, "Samples to train on", "a fixed stratified subset of the training samples", usual="all", **NOWHERE
    )
    seed: int = setting(0, SEED, "Seed", "seed of the first weights, the order of the samples and their augmentation", **NOWHERE)


@dataclass(frozen=True)
class TimingFields:
    """How time is measured."""

    batch: tuple[int, ...] = setting(
        (1,), Several(Whole(1, (1, 4096)), 6), "Batch", "samples at a time; of several, each is measured by itself"
    )
    length: tuple[int, ...] = setting(
        (), Several(Whole(1, (1, 131_072)), 6), "Length",
        "tokens of each text, for models of text; of several, each is measured by itself", usual="as many as the data or the model have",
    )  # fmt: skip
    threads: tuple[int, ...] = setting((1,), Several(Whole(1, (1, 1024)), 6), "Threads", "threads of the runtime")
    runtimes: tuple[str, ...] = setting(
        ("eager",), Several(OneOf({name: name for name in RUNTIMES}), len(RUNTIMES)), "Runtimes",
        f"one or more of {', '.join(RUNTIMES)}; the first is the baseline", flag="runtime",
    )  # fmt: skip
    device: str = setting("cpu", OneOf({name: name.upper() for name in DEVICES}), "Device", "where")
    budget: float = setting(
        10.0, Number(above=0, screen=(2, 120), step=5), "Time budget, s",
        "seconds of turns for each batch, length and number of threads; it stops earlier once every ratio is known to half a percent",
    )  # fmt: skip


@dataclass(frozen=True)
class SamplingFields:
    """On how many images, in how many points and with how many seeds accuracy is measured."""

    measured_images: int = setting(
        0, Whole(0, (0, 10_000_000), 500), "Samples to measure on", "a fixed stratified subset of the samples to measure on",
        flag="images", address="images", usual="all",
    )  # fmt: skip
    evaluations: int = setting(
        12,
        Whole(2, (3, 100)),
        "Points of each curve",
        "points where none are named, the dense one too; they go where the curve bends",
    )
    repeats: int = setting(
        1,
        Whole(1, (1, 20)),
        "Seeds",
        "how often what depends on chance is measured, each time with the next seed, to see how far they lie apart",
    )


@dataclass(frozen=True)
class GoalFields:
    """What targets are suggested for."""

    drop: float = setting(
        0.01,
        Share("0.01 is one point of accuracy", step=0.5),
        "Loss of quality",
        "suggest targets that lose at most so much: 0.01 is one point of accuracy",
    )
    full: bool = setting(
        False, YesNo(), "Full scan",
        "measure each layer at each share on all samples, where its loss lies clear of the allowed one on fewer, too",
        when={"goal": ("drop",)},
    )  # fmt: skip
    goal: str = setting(
        "drop", OneOf({"drop": "Lose at most so many points", "params": "Remove parameters", "macs": "Remove MACs"}), "Goal",
        "what targets are suggested for", flag="",
    )  # fmt: skip
    goal_share: float = setting(0.5, Share(), "Share of the goal", "share of all parameters or MACs that targets remove", flag="")
