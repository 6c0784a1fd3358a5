"""What the catalogue says of a model, and what it takes to build one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from federation.errors import ErrorCode, Refused
from resources.models.initialisation import PYTORCH

Shape = tuple[int, ...]
Options = Mapping[str, int]


@dataclass(frozen=True)
class Option:
    """A whole number that a model can be built with."""

    default: int
    minimum: int
    maximum: int
    description: str


@dataclass(frozen=True)
class ModelCard:
    """A model of the catalogue.

    Attributes:
        input_rank: axes that one example must have, e.g. 3 for [channels, height, width]; None: any.
        min_side: for images, the smallest height and width that the pooling leaves something of.
        paper: where the architecture comes from, if it has a source.
    """

    id: str
    title: str
    description: str
    licence: str
    input_rank: int | None = None
    min_side: int = 1
    options: Mapping[str, Option] = field(default_factory=dict)
    paper: str | None = None


@dataclass(frozen=True)
class Family:
    """A card, its constructor (input shape without the batch axis, classes, every option), and its initial gain."""

    card: ModelCard
    build: Callable[[Shape, int, Options], nn.Module]
    gain: float = PYTORCH


class Unbuildable(Refused):
    """A model cannot be built as asked; `field` is the dotted path in the task spec that is to blame."""

    def __init__(self, field: str, what: str, mend: str, code: ErrorCode = ErrorCode.INVALID_SPEC) -> None:
        super().__init__(code, f"{field}: {what}.", mend)
        self.field = field
