"""A pinned data set of the Hub, as the catalogue's sources give theirs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from federation.data_spec import DataSpec
from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.hub_data import DataPin
from resources.datasets.cache import decoded
from resources.datasets.card import Labels, Pixels, Split, Texts
from resources.datasets.hub import pinning
from resources.datasets.hub.images import decode
from resources.datasets.hub.labels import Classes, read_labels
from resources.datasets.hub.numbers import read_numbers, scaled
from resources.datasets.hub.reading import check_size
from resources.datasets.hub.texts import read_texts, read_users


@dataclass(frozen=True)
class HubData:
    """One configuration of a repository, as the task has pinned it. Every method may raise Refused as
    `files.checked` does; only the files of the split that is asked for are fetched, and the training split's where
    its labels or its range are what the other's are measured by."""

    data: DataSpec
    pin: DataPin
    folder: Path | None

    def examples(self, split: Split, indices: NDArray[np.int64] | None = None) -> Examples:
        """Images or numbers with their classes; the examples at `indices` (default: all), in that order."""
        if self.pin.holds == "images":
            return self._pixels(split).examples(indices)
        x, y = self._numbers(split), self.labels(split)
        if indices is not None:
            x, y = x[indices], y[indices]
        return Examples(torch.from_numpy(x.copy()), torch.from_numpy(y.copy()))

    def labels(self, split: Split) -> Labels:
        """Classes in order, int64, without decoding an image."""
        y = str(self.pin.columns.y)
        return self._classes().of(read_labels(self._files(split), y, split), y, split)

    def texts(self, split: Split) -> Texts:
        """Rows and whose each is."""
        files = self._files(split)
        labels = self.labels(split) if self.pin.labels is not None else None
        rows = read_texts(files, self.pin.columns, labels, split)
        return Texts(rows, self.users(split) or ("",) * len(rows))

    def users(self, split: Split) -> tuple[str, ...] | None:
        """Whose each row is; None where the task names no column for it."""
        column = self.pin.columns.user
        return None if column is None else read_users(self._files(split), column, split)

    def present(self, split: Split) -> bool:
        """Whether the split is on this machine, so that nothing has to be fetched."""
        return pinning.present(self.data.id, self.pin, split, self.folder)

    def _files(self, split: Split) -> list[Path]:
        files = pinning.paths(self.data.id, self.pin, split, self.folder)
        if not files:
            problem = f"data.id: {self.data.id} has no test split."
            mend = "set evaluation.server to false, or name one as data.splits.test"
            raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, mend)
        check_size(files, split)  # here too: a node takes nobody's word for it
        return files

    def _classes(self) -> Classes:
        count = self.pin.num_classes or 0
        if self.pin.labels == "numbers":
            return Classes("numbers", count)
        values: list[Any] = sorted(set(read_labels(self._files("train"), str(self.pin.columns.y), "train")))
        return Classes("sorted", count, tuple(values))

    def _numbers(self, split: Split) -> NDArray[np.float32]:
        columns = list(self.pin.columns.x or ())
        train = read_numbers(self._files("train"), columns, "train")
        return scaled(train if split == "train" else read_numbers(self._files(split), columns, split), train)

    def _pixels(self, split: Split) -> Pixels:
        files, column, shape = self._files(split), str(self.pin.columns.x), self.pin.input_shape or ()
        count = self.pin.num_train if split == "train" else self.pin.num_test
        chosen = repr((self.pin.model_dump_json(), self.data.image_size)).encode()
        name = f"hf-{hashlib.sha256(chosen).hexdigest()[:16]}-{split}"
        scale = self.data.image_size is not None

        def read() -> Pixels:
            return Pixels(decode(files, column, shape, count, scale=scale, split=split), self.labels(split))

        return decoded(name, files, read)
