"""What the cells of the study of adapters share within a process: the base model, and everybody's texts as examples."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.lora_cells import Places, Scale, cells, task
from edge_client.data import Share, load_share
from edge_client.models import Models
from federation.examples import Examples
from federation.spec import TaskSpec
from federation.weights import Tensors


class Place:
    """Made once a process; see `of`.

    Attributes:
        models: what builds the model that a node receives.
        folder: the base's.
        assignment: what every assignment of the study says.
        tests: of each speaker, in the order of places, the examples of the test split.
    """

    def __init__(self, scale: Scale) -> None:
        from resources.models.language import bases
        from resources.models.language.tokenizers import load_tokenizer

        spec = task(cells(scale)[0], scale)
        self.models = Models(scale.models)
        self.folder: Path = bases.fetch(spec.model, scale.models, None)
        base = bases.pin(spec.model, scale.models)
        self.assignment: dict[str, Any] = {"action": "train", "task_id": "study", "base": base.as_dict()}
        tokenizer = load_tokenizer(self.folder)
        self._train = [load_share(spec, place, None, lambda: tokenizer).train for place in range(scale.speakers)]
        self.tests = _tests(spec, tokenizer)

    @staticmethod
    def of(scale: Scale) -> Place:
        """This process's."""
        return _place(scale)

    def share(self, node: Places) -> Share:
        """The texts of a node's speakers."""
        mine = [self._train[place] for place in node]
        everything = Examples(torch.cat([each.x for each in mine]), torch.cat([each.y for each in mine]))
        return Share(everything, everything.first(0))

    def initial(self, spec: TaskSpec, seed: int) -> Tensors:
        """A version 0."""
        from resources.models.language.skeleton import initial_adapter

        return initial_adapter(spec.model, self.folder, seed)


@lru_cache(maxsize=1)
def _place(scale: Scale) -> Place:
    return Place(scale)


def _tests(spec: TaskSpec, tokenizer: Any) -> list[Examples]:
    from resources.datasets import catalogue
    from resources.datasets.shares import cut_texts
    from resources.datasets.text.encoding import encode

    train, test = catalogue.texts(spec.data.id, "train"), catalogue.texts(spec.data.id, "test")
    found = []
    for share in cut_texts(spec, train):
        rows = [row for row, user in zip(test.rows, test.users, strict=True) if user == train.users[share[0]]]
        found.append(encode(rows, tokenizer, spec.text, classifies=False))
    return found
