"""Cells of the study of adapters, played round by round with the functions that nodes and servers call.

What takes long, a training or a scoring, is kept under all that it depends on, the bits of the version that it starts
from among it. So to go on is to play a cell again, and cells that begin alike share what they have in common.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version as release
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.lora_cells import Cell, Places, Scale, task
from benchmarks.lora_place import Place
from benchmarks.study_cells import code_digest
from edge_client.data import Share
from edge_client.work import make_update
from federation.aggregation.contributions import Contribution
from federation.aggregation.lora.rounds import LORA_ERROR
from federation.aggregation.rules import aggregate
from federation.errors import Refused
from federation.evaluation import judge
from federation.spec import derive_seed
from federation.training import Stopped
from federation.weights import DELTA, add, load, pack_update, subtract, to_bytes

_DECIDES = (
    "edge_client/work.py",
    "federation/evaluation.py",
    "federation/objective.py",
    "federation/training.py",
    "resources/models/language/adapter_model.py",
    "resources/models/language/loaded.py",
)
"""The code that a training or a scoring depends on: of all else, only in what it is given."""
_LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Row:
    """A round of one of the cell's federations.

    Attributes:
        train_loss: the mean over its nodes.
        lora_error: the rule's own; None where there was nothing to merge.
        loss: of the version that came of it, on all test texts; None where nobody asks for it by round.
        down, up: bytes of the version that a node fetches, and of the update that it sends.
    """

    federation: int
    round: int
    train_loss: float
    lora_error: float | None
    loss: float | None
    down: int
    up: int


@dataclass(frozen=True)
class Outcome:
    """What is known of a cell.

    Attributes:
        scores: of each federation's last version, on each speaker's test texts: mean loss, tokens.
        over: whether nothing is missing.
        problem: why it cannot go on: a training that diverged, say.
    """

    cell: Cell
    rows: list[Row] = field(default_factory=list)
    scores: list[list[tuple[float, int]]] = field(default_factory=list)
    over: bool = False
    problem: str = ""

    @property
    def state(self) -> str:
        """In a word or two."""
        return self.problem or ("over" if self.over else f"stopped after {len(self.rows)} rounds")

    @property
    def losses(self) -> list[float]:
        """By speaker, the mean over the federations."""
        return [fmean(loss for loss, _ in speaker) for speaker in zip(*self.scores, strict=True)]

    @property
    def loss(self) -> float:
        """Over all speakers' tokens."""
        tokens = [count for _, count in self.scores[0]]
        return over_tokens(list(zip(self.losses, tokens, strict=True)))

    @property
    def own_loss(self) -> float:
        """Of federations of one speaker each, every one on that speaker's tokens."""
        return over_tokens([of_all[place] for place, of_all in enumerate(self.scores)])


def over_tokens(scores: Sequence[tuple[float, int]]) -> float:
    """The mean loss over the tokens of all."""
    return sum(loss * tokens for loss, tokens in scores) / sum(tokens for _, tokens in scores)


def advance(cell: Cell, scale: Scale, folder: Path, deadline: float) -> Outcome:
    """Take the cell on until it is over, or the clock (`time.time`) shows `deadline`."""
    found = Outcome(cell)
    try:
        play = _Play(cell, scale, folder, deadline)
        for nodes in cell.federations:
            version = play.first
            for row, version in play.rounds(nodes, len(found.scores)):  # noqa: B007 - the last one is scored
                found.rows.append(row)
            found.scores.append(play.scored(version))
    except Stopped:
        return found
    except Refused as refused:
        return replace(found, problem=f"refused: {refused.problem.removesuffix('.')} ({refused.code})")
    return replace(found, over=True)


class _Play:
    def __init__(self, cell: Cell, scale: Scale, folder: Path, deadline: float) -> None:
        self._cell, self._folder, self._deadline = cell, folder, deadline
        self._spec, self._place = task(cell, scale), Place.of(scale)
        folder.mkdir(parents=True, exist_ok=True)
        self.first = self._put(to_bytes(self._place.initial(self._spec, cell.seed)))

    def rounds(self, nodes: tuple[Places, ...], federation: int) -> Iterator[tuple[Row, Path]]:
        """Each with the version that came of it."""
        version = self.first
        for round in range(1, self._spec.rounds + 1) if nodes else ():
            found = [self._trained(version, round, node) for node in nodes]
            contributions = [
                Contribution(f"node-{at}", "u", path, told["num_examples"], told["num_steps"])
                for at, (path, told) in enumerate(found)
            ]
            made = aggregate(
                self._spec.aggregation,
                version,
                contributions,
                training=self._spec.training,
                seed=derive_seed(self._spec.seed, "aggregate", round),
                adapters=self._spec.model.adapters,
            )
            loss = fmean(told["train_loss"] for _, told in found)
            sizes = version.stat().st_size, found[0][0].stat().st_size
            version = self._put(to_bytes(made.weights))
            error, scored = None, None
            if len(nodes) > 1:
                error, scored = made.metrics.get(LORA_ERROR), over_tokens(self.scored(version))
            yield Row(federation, round, loss, error, scored, *sizes), version

    def scored(self, version: Path) -> list[tuple[float, int]]:
        """On each speaker's test texts: mean loss, tokens."""
        tests = self._place.tests

        def score() -> tuple[bytes, dict[str, Any]]:
            model = self._place.models.receive(self._spec, self._place.assignment, version).module
            found = [judge(self._spec.model, model, texts) for texts in tests]
            return b"", {"scores": [(each.loss, each.num_tokens) for each in found]}

        identity = {"scored": version.stem, "texts": [Share(texts, texts).fingerprint for texts in tests]}
        return [(loss, tokens) for loss, tokens in self._kept(identity, score)[1]["scores"]]

    def _trained(self, version: Path, round: int, node: Places) -> tuple[Path, dict[str, Any]]:
        """The file of a node's update, and what comes with it."""
        own = round == 1 and self._cell.first == "own"
        start = self._with_own_a(node) if own else version
        share, seed = self._place.share(node), derive_seed(self._spec.seed, "train", round, *node)
        model = {"version": round - 1, "sha256": start.stem}

        def train() -> tuple[bytes, dict[str, Any]]:
            update = make_update(
                self._spec,
                self._place.assignment | {"round": round, "model": model},
                start,
                share,
                seed=seed,
                threads=1,
                models=self._place.models,
                on_progress=lambda progress: None,
                should_stop=lambda: time.time() >= self._deadline,
            )
            told = {"num_examples": update.num_examples, "num_steps": update.num_steps}
            return update.payload, told | {"train_loss": update.metrics["train_loss"]}

        training = self._spec.training.model_dump(mode="json")
        identity = {"from": start.stem, "trains": self._trains(round), "training": training}
        path, told = self._kept(identity | {"texts": share.fingerprint, "seed": seed}, train)
        return (self._against(version, start, path) if own else path), told

    def _trains(self, round: int) -> str:
        """The part of the version that a node trains; at first all of A is fresh under `lora_stack`, too."""
        match self._spec.aggregation.rule:
            case "ffa":
                return "B"
            case "lora_stack" if round > 1:
                return "the last r"
            case _:
                return "the first r"

    def _with_own_a(self, node: Places) -> Path:
        """Version 0 with an A of the node's own; B is zero in both."""
        return self._put(to_bytes(self._place.initial(self._spec, derive_seed(self._spec.seed, "own A", *node))))

    def _against(self, version: Path, start: Path, update: Path) -> Path:
        """An update's file with its deltas taken from the version, not from where the node started."""
        delta = {name.removeprefix(DELTA): tensor for name, tensor in load(update).items()}
        return self._put(pack_update(subtract(add(load(start), delta), load(version))))

    def _kept(
        self, identity: dict[str, Any], make: Callable[[], tuple[bytes, dict[str, Any]]]
    ) -> tuple[Path, dict[str, Any]]:
        """What was made under this very identity before, or is made now: a file, and what there is to say of it.

        Raises:
            Stopped: it would have to be made, and the time is up.
        """
        whole = identity | {"model": self._spec.model.model_dump(mode="json"), "base": self._place.assignment["base"]}
        whole |= {"code": code_digest(_DECIDES), "libraries": {name: release(name) for name in _LIBRARIES}}
        key = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:24]
        told = self._folder / f"{key}.json"
        if not told.exists():
            if time.time() >= self._deadline:
                raise Stopped
            payload, facts = make()
            _write(told, json.dumps({"file": self._put(payload).name, "facts": facts, "identity": whole}).encode())
        said = json.loads(told.read_text())
        return self._folder / said["file"], said["facts"]

    def _put(self, payload: bytes) -> Path:
        """The file of these bytes, called by their hash, as in the server's spool."""
        path = self._folder / f"{hashlib.sha256(payload).hexdigest()}.safetensors"
        if not path.exists():
            _write(path, payload)
        return path


def _write(path: Path, payload: bytes) -> None:
    """Aside first: there is the whole file or none."""
    aside = path.with_suffix(f".{os.getpid()}.part")
    aside.write_bytes(payload)
    aside.replace(path)
