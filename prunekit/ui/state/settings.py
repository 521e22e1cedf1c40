"""`Settings`: all settings of one browser tab as one small frozen value, which the address holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunekit.config.field_table import SHARED_OUT, GoalFields, PruneFields, RecoveryFields, SamplingFields, TimingFields
from prunekit.config.fields import again, setting, table
from prunekit.config.ids import DataId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.ui.state import codecs
from prunekit.ui.state.page_settings import Compared, Curve, Learned, Sought, read_curves, write_curves

DEFAULT_MODEL = "digits_cnn"
SHELVES = ("sample", "torchvision", "timm", "own")
NAME = r"[\w./:-]{1,200}"


@dataclass(frozen=True)
class Given:
    """What somebody says of the inputs of a model of their own, beside or against what model and data say."""

    size: tuple[int, ...] = ()  # the side of the images, or the whole shape of a sample; empty for what model and data say
    mean: tuple[float, ...] = ()  # mean, std: for each channel; empty likewise
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()  # names in the order in which the model counts them; empty likewise

    @property
    def side(self) -> int | None:
        """The side to which images are resized; None where none was given."""
        square = self.size[-1:] if len(self.size) == 1 or (len(self.size) == 3 and self.size[1] == self.size[2]) else ()
        return square[0] if square else None


NOTHING = Given()


@dataclass(frozen=True)
class Settings(GoalFields, SamplingFields, TimingFields, PruneFields[int], RecoveryFields, Compared, Sought, Learned):
    """The picks of one person in one browser tab: what a run and its measurements are made with, and how they are looked at.

    What the table of fields has is inherited, with the defaults of the screen; so are the picks of the pages Compare, Find and Learn.
    Layers are held by their place in ``Loaded.every``: short in the address, and the same for every visitor.
    """

    model: str = codecs.pick(DEFAULT_MODEL, codecs.matching(NAME, "the name of a model on the Start page"))  # of the list of models
    pretrained: bool = codecs.pick(False, codecs.YES_NO)  # whether torchvision's trained weights are used
    # content hash of an uploaded checkpoint, or empty
    upload: str = codecs.pick("", codecs.matching(r"[0-9a-f]{20}", "the fingerprint of an uploaded file (20 hexadecimal digits)"))
    # a task's name; empty for what the model and the data say
    task: str = codecs.pick("", codecs.matching(NAME, "the name of a task"))
    # a data set's name; empty for the model's own, none for none
    data: str = codecs.pick("", codecs.matching(NAME, "the name of a data set"))
    limit: int = again(
        DataId, "limit", 0
    )  # at most so many samples in each split; 0 for as many as there are, or as the data's own limit says
    # size, mean, std, classes: as in a Given; the size may be a whole shape
    size: tuple[int, ...] = again(DataId, "size", (), codecs.in_order(codecs.whole(1, 100_000), 5))
    mean: tuple[float, ...] = again(DataId, "mean", ())
    std: tuple[float, ...] = again(DataId, "std", ())
    classes: tuple[str, ...] = again(DataId, "classes", ())
    # what follows has a row of its own in the table, and here the default of the screen, or places instead of names
    sparsity: float = 0.5
    scope: str = "global"
    layers: tuple[int, ...] | None = again(PruneFields, "layers", None, codecs.PLACES)
    overrides: tuple[tuple[int, float], ...] = again(PruneFields, "overrides", (), codecs.SHARES)
    targets: tuple[tuple[int, float], ...] = setting(
        (), codecs.SHARES, "Targets",
        "shares of single layers that Sensitivity suggested; scaled in proportion they make up the total, see target_scaling.followed",
        flag="", when=SHARED_OUT,
    )  # fmt: skip
    caps: tuple[tuple[int, float], ...] = again(PruneFields, "caps", (), codecs.SHARES)
    shares: tuple[tuple[tuple[int, ...], float], ...] = again(PruneFields, "shares", (), codecs.JOINT)
    cap_all: float = 1.0  # largest share that may go from any layer; 1 for no such cap
    pattern: str = "2:4"
    target: str = "channels"
    depth: float = 0.0
    recalibrate: bool = True
    epochs: int = 3
    steps: int = 3
    runtimes: tuple[str, ...] = ("eager", "onnxruntime")
    measured_images: int = 1000
    # and this is how it is looked at
    shelf: str = codecs.pick("", codecs.choice(*SHELVES))  # which shelf of models the Start page shows
    pick: tuple[int, ...] = codecs.pick((), codecs.PLACES)  # layers selected on the Layers page
    view: str = codecs.pick("overlay", codecs.choice("overlay", "multiples"))  # view, scale: how the Layers page draws distributions
    scale: str = codecs.pick("linear", codecs.choice("linear", "log"))
    focus: int = codecs.pick(-1, codecs.PLACE)  # the layer whose cut the Prune page shows; -1 for all together
    # what the model is asked on the Prune page: a text of one's own, else a test sample by its place
    prompt: str = codecs.pick("", codecs.PROMPT)
    sample: int = codecs.pick(0, codecs.whole(0, 999_999))
    asks: bool = codecs.pick(False, codecs.YES_NO)  # whether it is asked where samples are nothing that is typed
    going: str = codecs.pick("likeliest", codecs.choice("likeliest", "drawn"))  # how a language model goes on from it
    # curves of "Quality vs sparsity"; empty for the current setting alone
    curves: tuple[Curve, ...] = codecs.pick((), codecs.Codec(write_curves, read_curves))
    # the split that curves are measured on; empty for validation where there is one
    split: str = codecs.pick("", codecs.choice("validation", "test"))
    # the figure that curves and sensitivity show, by its metric's name, such as iou.3; empty for the task's headline
    judged: str = codecs.pick("", codecs.matching(r"[a-z][a-z0-9_.]{0,39}", "the name of a metric"))
    # of the Latency page: stored runs that are timed beside, by the first 12 digits of their names
    also: tuple[str, ...] = codecs.pick((), codecs.several(codecs.RUN, 4))
    # what "Quality vs sparsity" has on its x-axis: a key of plots.AXES
    across: str = codecs.pick("sparsity", codecs.choice("sparsity", "ratio", "params", "macs", "bytes"))
    down: str = codecs.pick("accuracy", codecs.choice("accuracy", "drop"))  # what it has on its y-axis: accuracy or drop

    def change(self, **values: Any) -> Settings:
        """Return a copy with some picks changed."""
        return replace(self, **values)

    def of_model(self, model: str, *, pretrained: bool = False, upload: str = "") -> Settings:
        """Return the settings for another model: whatever is bound to the old one's layers and data is dropped."""
        fresh = {
            "layers": None,
            "overrides": (),
            "targets": (),
            "shares": (),
            "caps": (),
            "units": None,
            "depth": 0.0,
            "blocks": None,
            "remove_layers": 0,
            "rows": 0.0,
            "row_shares": (),
            "pick": (),
            "focus": -1,
            "prompt": "",
            "sample": 0,
            "task": "",
            "data": "",
            "limit": 0,
            "size": (),
            "mean": (),
            "std": (),
            "classes": (),
            "split": "",
            "train_images": 0,
            "hold": None,
            "also": (),
            "length": (),
        }
        return replace(self, model=model, pretrained=pretrained, upload=upload, **fresh)  # type: ignore[arg-type]

    @property
    def given(self) -> Given:
        """What was said of the model's inputs."""
        return Given(self.size, self.mean, self.std, self.classes)

    @property
    def own(self) -> bool:
        """Whether the Prune page has choices that a curve of the same mode, criterion and scope may go without."""
        return any(getattr(self, name) != getattr(PLAIN, name) for name in OWN)

    def curve(self, mode: str | None = None) -> Curve:
        """Return the setting of the Prune page as a curve, or its criterion and scope in another mode."""
        return Curve(mode or self.mode, self.criterion, self.scope, self.own and mode in (None, self.mode))

    def spec(self, names: Sequence[str], curve: Curve | None = None) -> PruneSpec:
        """Return the pruning setting in the words of the core."""
        what = curve or Curve(self.mode, self.criterion, self.scope, True)
        own = self if what.chosen and what.mode == self.mode else PLAIN
        self._check_places(own, len(names))
        values = {name: getattr(own if name in OWN else self, name) for name in table(PruneSpec)}
        values |= {"mode": what.mode, "criterion": what.criterion, "scope": what.scope}
        values |= {
            "layers": None if own.layers is None else tuple(names[i] for i in own.layers),
            "overrides": tuple((names[i], share) for i, share in own.overrides),
            "caps": tuple((names[i], share) for i, share in own.caps),
            "shares": tuple((",".join(names[i] for i in places), share) for places, share in own.shares),
            "cap_all": None if own.cap_all >= 1 else own.cap_all,
            "blocks": own.blocks if own.depth or own.remove_layers else None,
        }
        of_mode = {name: row for name, row in table(PruneSpec).items() if name != "scope" and any("mode" in each for each in row.when)}
        values |= {name: row.default for name, row in of_mode.items() if not row.applies(values)}
        return PruneSpec(**{**values, "sparsity": None if what.mode == "nm" else self.sparsity})

    def recovery(self, code: str = "p") -> Recovery:
        """Return what follows the cut, in the words of the core."""
        if code in ("", "r"):
            return Recovery(recalibrate=bool(code), seed=self.seed)
        gradual = code == "p" and self.schedule != "one-shot" and self.epochs >= self.steps
        epochs = self.epochs if code == "p" else int(code[1:])
        values = {name: getattr(self, name) for name in table(Recovery)} | {"epochs": epochs}
        values |= {} if epochs else {"distill": 0.0}
        values |= {} if code == "p" and self.mode == "structured" else {"prepare": "none"}
        return Recovery(**values | ({} if gradual else {"schedule": "one-shot", "steps": 1}))

    @staticmethod
    def _check_places(own: Settings, known: int) -> None:
        """Raise if a layer is picked that a model with so many layers does not have."""
        places = [*(own.layers or ()), *(place for place, _ in (*own.overrides, *own.targets, *own.caps))]
        places += [place for together, _ in own.shares for place in together]
        beyond = sorted({place for place in places if place >= known})
        if beyond:
            raise SpecError(
                f"the address picks layer number {', '.join(map(str, beyond))}, but this model has {known} prunable layers "
                f"(0 to {known - 1}): reset the layers on the Prune page"
            )


SHARED = ("mode", "sparsity", "threshold", "criterion", "scope", "pattern", "samples", "seed")
OWN = (*(name for name in table(PruneSpec) if name not in SHARED), "targets")
"""What belongs to the Prune page alone."""
PLAIN = Settings()
