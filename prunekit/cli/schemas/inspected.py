"""What looking at models tells as JSON: their list, and the layers, groups and blocks of one."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from prunekit.cli.schemas.pruned import Guesses, Recipe, Side
from prunekit.config.ids import ModelId
from prunekit.pruning.skipped import Skipped
from prunekit.pruning.structured.embedding_rows import Table


class Named(TypedDict):
    """A model that has a name; ``card`` says how a sample was trained, and is another for each kind of model."""

    name: str
    kind: str
    title: str
    task: str
    description: str
    card: dict[str, Any] | None


class Models(TypedDict):
    """``prunekit models``."""

    models: list[Named]


class Layer(TypedDict):
    """A layer that can be pruned.

    Attributes
    ----------
    share : float
        Of all parameters.
    protected : str or None
        Why structured pruning leaves it alone by default.
    """

    name: str
    type: str
    shape: list[int]
    params: int
    share: float
    macs: int | None
    out_channels: int | None
    protected: str | None


class Group(TypedDict):
    """Channels that shrink together."""

    id: str
    kind: str
    layers: list[str]
    size: int
    reasons: list[str]


class Block(TypedDict):
    """A block that can go as a whole, and what takes its place."""

    name: str
    becomes: str
    layers: list[str]


class Inspected(Side, Guesses):
    """``prunekit inspect``; ``recipe`` and ``result`` are those of a folder that prunekit wrote."""

    model: ModelId
    mean: list[float] | None
    std: list[float] | None
    data: str | None
    classes: list[str]
    card: dict[str, Any] | None
    checked: str | None
    input_shape: list[Any]
    inputs: str | None
    layers: list[Layer]
    skipped: list[Skipped]
    groups: list[Group]
    blocks: list[Block]
    immovable: dict[str, str]
    limits: list[str]
    tables: list[Table]
    recipe: NotRequired[Recipe]
    result: NotRequired[Any]
