"""Test texts kept as examples between scorings: a federation scores every round on the same ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np

from federation.data_spec import PartitionSpec, TextSpec
from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.hub_data import DataPin
from federation.spec import TaskSpec
from resources.datasets import named
from resources.datasets.shares import cut_texts
from resources.datasets.text.encoding import encode
from resources.datasets.text.rows import Rows
from resources.datasets.text.tokenizer import Tokenizer

EXAMPLES = 64
"""How many the server scores on, where the task does not say."""
_Key = tuple[str, DataPin | None, TextSpec, bool, PartitionSpec | None, int, str]


class TestTexts:
    """The `size` test sets used last; threads may ask at once, and each set is made once.

    Of a split's examples as many as `evaluation.examples` are taken, spread evenly over all of them, so that they come
    from all of its texts. Where each share is one of the largest users, the texts are those users' alone.
    """

    __test__ = False  # pytest: not a class of tests

    def __init__(self, folder: Path | None = None, size: int = 2) -> None:
        self._folder = folder
        self._size = size
        self._held: OrderedDict[_Key, Examples] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, spec: TaskSpec, tokenizer: Tokenizer, tokenizer_sha256: str) -> Examples:
        """The examples that the task's versions are scored on; refusals as for `named.texts` and `encode`, and
        DATA_UNAVAILABLE where there is no test text."""
        part, wanted = spec.data.partition, spec.evaluation.examples or EXAMPLES
        chosen = part if part.kind == "natural" and part.users == "largest" else None
        classifies = spec.model.classifies
        key = (spec.data.id, spec.data.pin, spec.text, classifies, chosen, wanted, tokenizer_sha256)
        with self._lock:
            if key not in self._held:
                rows = self._rows(spec, chosen)
                every = encode(rows, tokenizer, spec.text, classifies=classifies)
                if not len(every):
                    problem = f"{spec.data.id} has no test texts of these users."
                    mend = "set evaluation.server to false, or choose another data.partition"
                    raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, mend)
                self._held[key] = every.take(_spread(len(every), wanted))
                while len(self._held) > self._size:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
            return self._held[key]

    def _rows(self, spec: TaskSpec, chosen: PartitionSpec | None) -> Rows:
        test = named.texts(spec, "test", folder=self._folder)
        if chosen is None:
            return test.rows
        train = named.texts(spec, "train", folder=self._folder)
        users = {train.users[share[0]] for share in cut_texts(spec, train)}
        return tuple(row for row, user in zip(test.rows, test.users, strict=True) if user in users)


def _spread(n: int, wanted: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """`wanted` of n places, or all, at equal distances."""
    count = min(n, wanted)
    return np.arange(count, dtype=np.int64) * n // max(count, 1)
