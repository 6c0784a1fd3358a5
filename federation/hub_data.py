"""Data sets of the Hugging Face Hub in a task spec: their columns and splits, and what pins them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from federation.spec_part import Part

HF = "hf:"
"""What the id of a data set on the Hub begins with."""
_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
DataId = Annotated[str, Field(pattern=rf"^([a-z0-9][a-z0-9_.-]{{0,63}}|hf:{_PART}(/{_PART})?)$")]
_LONGEST = 300
LONGEST_NAME, MOST_COLUMNS = 200, 4096
"""Of a column's name, in characters; and of columns of numbers."""
Column = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00-\x1f\x7f]+$")]
HubName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MOST_FILES = 32
"""That a split may have."""


def is_parquet(path: str) -> bool:
    """Whether it can be the path of a parquet file in a repository, and no path out of it."""
    pure = PurePosixPath(path)
    safe = not pure.is_absolute() and ".." not in pure.parts and "\\" not in path
    return safe and pure.suffix == ".parquet" and path.isprintable() and len(path) <= _LONGEST


def _parquet(path: str) -> str:
    if not is_parquet(path):
        raise ValueError("is no parquet file of a repository")
    return path


class ColumnsSpec(Part):
    """Which columns of a data set on the Hub are what."""

    x: Column | Annotated[tuple[Column, ...], Field(min_length=1, max_length=MOST_COLUMNS)] | None = Field(
        default=None, description="Column of images or texts; or a list of columns of numbers."
    )
    y: Column | None = Field(
        default=None, description="Column of labels; for a model that writes, of completions, and then x is prompts."
    )
    user: Column | None = Field(default=None, description="Whose each example is, for partition natural.")


class SplitsSpec(Part):
    """Which splits of a data set on the Hub are trained and scored on."""

    train: HubName = "train"
    test: HubName | None = Field(
        default=None, description="The server scores on it; default: test, else validation, where there is one."
    )


class PinnedFile(Part):
    """One parquet file, to the bit."""

    path: Annotated[str, AfterValidator(_parquet)]
    sha256: Sha256
    size: int = Field(ge=0, description="Bytes.")


class DataPin(Part):
    """What a data set on the Hub was when the task was created: the same for the server and every node."""

    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = Field(
        default=None, description="The commit that the files are of; null: the server's own folder."
    )
    train: Annotated[tuple[PinnedFile, ...], Field(min_length=1, max_length=MOST_FILES)]
    test: Annotated[tuple[PinnedFile, ...], Field(max_length=MOST_FILES)] = ()
    holds: Literal["images", "numbers", "texts"]
    columns: ColumnsSpec
    labels: Literal["numbers", "sorted"] | None = Field(
        default=None, description="numbers: y is the class; sorted: its place among the training split's sorted values."
    )
    num_train: int = Field(ge=1)
    num_test: int = Field(default=0, ge=0)
    input_shape: Annotated[tuple[int, ...], Field(max_length=3)] | None = None
    num_classes: int | None = Field(default=None, ge=2, le=100_000)
    class_names: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=100)] = ()
    characters: int = Field(default=0, ge=0, description="Of the training texts, all together.")
