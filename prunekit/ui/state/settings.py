"""Everything that a person has picked, as one small frozen value: what the address holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import SpecError
from prunekit.ui.state.compare_settings import Compared
from prunekit.ui.state.learn_settings import Learned

DEFAULT_MODEL = "digits_cnn"


@dataclass(frozen=True)
class Curve:
    """One curve of the page "Accuracy vs sparsity".

    Attributes
    ----------
    mode, criterion, scope : str
        As in a ``PruneSpec``.
    chosen : bool
        Whether the layers, overrides, caps, target and channel multiple of the Prune page count, or their defaults.
    recovery : str
        What follows the cut: empty for nothing, ``r`` for BatchNorm recalibration, ``f5`` for five epochs of fine-tuning with the Recover
        page's other choices, ``p`` for all choices of the Recover page.
    """

    mode: str
    criterion: str
    scope: str
    chosen: bool = False
    recovery: str = ""


@dataclass(frozen=True)
class Given:
    """What somebody says of the inputs of a model of their own, beside or against what model and data say.

    Attributes
    ----------
    size : tuple of int
        The side of the images, or the whole shape of a sample; empty for what model and data say.
    mean, std : tuple of float
        For each channel; empty likewise.
    classes : tuple of str
        Names in the order in which the model counts them; empty likewise.
    """

    size: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def side(self) -> int | None:
        """The side to which images are resized; None where none was given."""
        square = self.size[-1:] if len(self.size) == 1 or (len(self.size) == 3 and self.size[1] == self.size[2]) else ()
        return square[0] if square else None


NOTHING = Given()


@dataclass(frozen=True)
class Settings(Compared, Learned):
    """The picks of one person in one browser tab; those of the Compare page and of the Learn page are inherited.

    Layers are held by their place in ``Loaded.every``: short in the address, and the same for every visitor.

    Attributes
    ----------
    model : str
        A name of the catalog.
    pretrained : bool
        Whether torchvision's trained weights are used.
    upload : str
        Content hash of an uploaded checkpoint, or empty.
    data : str
        A data set's name; empty for the model's own, ``none`` for none.
    limit : int
        At most so many samples in each split; 0 for as many as there are, or as the data's own limit says.
    size, mean, std, classes
        As in a `Given`.
    mode, sparsity, criterion, scope, seed
        As in a ``PruneSpec``.
    layers : tuple of int, optional
        Ticked layers; None for the default choice of the mode.
    overrides : tuple of (int, float)
        Fixed sparsity for single layers.
    targets : tuple of (int, float)
        Shares of single layers that Sensitivity suggested; scaled in proportion they make up the total, see `scaling.followed`.
    caps : tuple of (int, float)
        Largest share that may go from single layers, each below 1.
    cap_all : float
        Largest share that may go from any layer; 1 for no such cap.
    pattern, target, round_to, samples, units
        As in a ``PruneSpec``.
    depth : float
        Share of the removable residual blocks that go.
    blocks : tuple of str, optional
        Names of the blocks that may go; None for all.
    shelf : str
        Which shelf of models the Start page shows.
    pick : tuple of int
        Layers selected on the Layers page.
    view, scale : str
        How the Layers page draws distributions.
    focus : int
        The layer whose cut the Prune page shows; -1 for all together.
    curves : tuple of Curve
        Curves of "Accuracy vs sparsity"; empty for the current setting alone.
    split : str
        The split that curves are measured on; empty for validation where there is one.
    drop : float
        The loss of accuracy that "Accuracy vs sparsity" reads off for.
    batch, threads : tuple of int
        Of the Latency page: samples at a time and threads; all combinations are measured.
    runtimes : tuple of str
        Of the Latency page: names of ``prunekit.runtimes.RUNTIMES``, the first of them the baseline.
    device : str
        Of the Latency page: ``cpu`` or ``cuda``.
    also : tuple of str
        Of the Latency page: stored runs that are timed beside, by the first 12 digits of their names.
    budget : int
        Of the Latency page: seconds of turns for each batch and number of threads.
    recalibrate, epochs, optimizer, lr, rate, augment, distill, temperature, schedule, steps, train_images
        Of the Recover page, as in a ``Recovery``; the seed is shared.
    images : int
        Images that Sensitivity and Accuracy measure on, at most; 0 for all of the split.
    across : str
        What "Accuracy vs sparsity" has on its x-axis: a key of ``plots.AXES``.
    down : str
        What it has on its y-axis: ``accuracy`` or ``drop``.
    evaluations, repeats : int
        Measured points of a curve, and seeds.
    goal : str
        What targets are suggested for: ``drop``, ``params`` or ``macs``.
    goal_share : float
        Share of the parameters or MACs to remove, for such a goal.
    """

    model: str = DEFAULT_MODEL
    pretrained: bool = False
    upload: str = ""
    data: str = ""
    limit: int = 0
    size: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    mode: str = "unstructured"
    sparsity: float = 0.5
    criterion: str = "l1"
    scope: str = "global"
    layers: tuple[int, ...] | None = None
    overrides: tuple[tuple[int, float], ...] = ()
    targets: tuple[tuple[int, float], ...] = ()
    caps: tuple[tuple[int, float], ...] = ()
    cap_all: float = 1.0
    pattern: str = "2:4"
    target: str = "channels"
    round_to: int = 1
    samples: int = 512
    units: tuple[str, ...] | None = None
    depth: float = 0.0
    blocks: tuple[str, ...] | None = None
    seed: int = 0
    shelf: str = ""
    pick: tuple[int, ...] = ()
    view: str = "overlay"
    scale: str = "linear"
    focus: int = -1
    curves: tuple[Curve, ...] = ()
    split: str = ""
    drop: float = 0.01
    batch: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    runtimes: tuple[str, ...] = ("eager", "onnxruntime")
    device: str = "cpu"
    also: tuple[str, ...] = ()
    budget: int = 10
    recalibrate: bool = True
    epochs: int = 3
    optimizer: str = "sgd"
    lr: float = 0.01
    rate: str = "cosine"
    augment: bool = True
    distill: float = 0.0
    temperature: float = 2.0
    schedule: str = "one-shot"
    steps: int = 3
    train_images: int = 0
    images: int = 1000
    across: str = "sparsity"
    down: str = "accuracy"
    evaluations: int = 12
    repeats: int = 1
    goal: str = "drop"
    goal_share: float = 0.5

    def change(self, **values: Any) -> Settings:
        """Return a copy with some picks changed."""
        return replace(self, **values)

    def of_model(self, model: str, *, pretrained: bool = False, upload: str = "") -> Settings:
        """Return the settings for another model: whatever is bound to the old one's layers and data is dropped."""
        fresh = {
            "layers": None,
            "overrides": (),
            "targets": (),
            "caps": (),
            "units": None,
            "depth": 0.0,
            "blocks": None,
            "pick": (),
            "focus": -1,
            "data": "",
            "limit": 0,
            "size": (),
            "mean": (),
            "std": (),
            "classes": (),
            "split": "",
            "train_images": 0,
            "also": (),
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
        """Return the pruning setting in the words of the core.

        Parameters
        ----------
        names : sequence of str
            ``Loaded.every``: the prunable layers, and attention that holds its own weight.
        curve : Curve, optional
            Take mode, criterion and scope from here.

        Returns
        -------
        PruneSpec

        Raises
        ------
        SpecError
            If a layer is picked that this model does not have, or two choices do not go together.
        """
        what = curve or Curve(self.mode, self.criterion, self.scope, True)
        own = self if what.chosen and what.mode == self.mode else PLAIN
        self._check_places(own, len(names))
        return PruneSpec(
            mode=what.mode,
            sparsity=None if what.mode == "nm" else self.sparsity,
            criterion=what.criterion,
            scope=what.scope,
            layers=None if own.layers is None else tuple(names[i] for i in own.layers),
            overrides=tuple((names[i], share) for i, share in own.overrides),
            caps=tuple((names[i], share) for i, share in own.caps),
            cap_all=None if own.cap_all >= 1 else own.cap_all,
            pattern=self.pattern if what.mode == "nm" else None,
            target=own.target if what.mode == "structured" else None,
            round_to=own.round_to,
            samples=self.samples,
            units=own.units,
            depth=own.depth if what.mode == "structured" else None,
            blocks=own.blocks if own.depth else None,
            seed=self.seed,
        )

    def recovery(self, code: str = "p") -> Recovery:
        """Return what follows the cut, in the words of the core.

        Parameters
        ----------
        code : str
            As `Curve.recovery`; by default all choices of the Recover page.
        """
        if code in ("", "r"):
            return Recovery(recalibrate=bool(code), seed=self.seed)
        gradual = code == "p" and self.schedule != "one-shot" and self.epochs >= self.steps
        epochs = self.epochs if code == "p" else int(code[1:])
        return Recovery(
            recalibrate=self.recalibrate,
            epochs=epochs,
            optimizer=self.optimizer,
            lr=self.lr,
            rate=self.rate,
            augment=self.augment,
            distill=self.distill if epochs else 0.0,
            temperature=self.temperature,
            schedule=self.schedule if gradual else "one-shot",
            steps=self.steps if gradual else 1,
            train_images=self.train_images,
            seed=self.seed,
        )

    @staticmethod
    def _check_places(own: Settings, known: int) -> None:
        """Raise if a layer is picked that a model with so many layers does not have."""
        places = [*(own.layers or ()), *(place for place, _ in (*own.overrides, *own.targets, *own.caps))]
        beyond = sorted({place for place in places if place >= known})
        if beyond:
            raise SpecError(
                f"the address picks layer number {', '.join(map(str, beyond))}, but this model has {known} prunable layers "
                f"(0 to {known - 1}): reset the layers on the Prune page"
            )


OWN = ("layers", "overrides", "targets", "caps", "cap_all", "target", "round_to", "units", "depth", "blocks")
"""What belongs to the Prune page alone, beside mode, criterion and scope."""
PLAIN = Settings()
