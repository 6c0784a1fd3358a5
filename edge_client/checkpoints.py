"""Checkpoints of a round's training: seldom enough to cost little, and never used for anything but what they are of."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from edge_client.data import Share
from edge_client.state_folder import TRAINING, StateFolder
from federation.errors import Refused
from federation.fault_points import reach
from federation.layout import layout_bytes, layout_of
from federation.training import Checkpoint, Position, Training
from federation.weights import chunks, load_bytes

EVERY_S = 10.0
"""Seconds between two checkpoints, by default."""
EPOCH_S = 1.0
"""At the end of an epoch one is written sooner, but not for less work than this, in seconds."""
COST = 0.04
"""The share of the training's time that writing may take; what takes longer to write is written more seldom."""
DISK_BYTES_PER_S = 200e6
"""How fast the first one is expected to be written; after that it is known."""


class Checkpoints:
    """Those of one training.

    Args:
        folder: where they go.
        identity: what they are of; one with another identity is not used.
        every_s: seconds between two; 0 writes one after every step, whatever it costs.

    Attributes:
        seconds: how long writing has taken, in all.
        written: how many.
    """

    def __init__(self, folder: StateFolder, identity: Mapping[str, Any], every_s: float = EVERY_S) -> None:
        self._folder = folder
        self._identity = identity
        self._every_s = every_s
        self._cost_s: float | None = None
        self._since = time.perf_counter()
        self.seconds = 0.0
        self.written = 0

    def resume(self, training: Training) -> bool:
        """Bring `training` to where the checkpoint on disk stands, if there is one of just this work."""
        found = self._folder.read(TRAINING, self._identity)
        self._since = time.perf_counter()
        if found is None:
            return False
        facts, payload = found
        try:
            training.restore(Checkpoint(load_bytes(payload), Position(**facts["position"])))
        except (Refused, ValueError, TypeError, KeyError) as error:
            self._folder.refuse(TRAINING, str(error))
            return False
        return True

    def after_step(self, training: Training) -> None:
        """Write one, if it is time."""
        if self._due(training):
            self.keep(training)

    def keep(self, training: Training) -> None:
        """Write one now; a disk that does not take it is the folder's to tell, and training goes on."""
        started = time.perf_counter()
        checkpoint = training.checkpoint()
        facts = {**self._identity, "position": asdict(checkpoint.position)}
        if self._folder.write(TRAINING, facts, chunks(checkpoint.tensors)):
            self.written += 1
            reach("node_checkpoint_written")
        self._since = time.perf_counter()
        self._cost_s = self._since - started
        self.seconds += self._cost_s

    def _due(self, training: Training) -> bool:
        if self._every_s == 0:
            return True
        waited = time.perf_counter() - self._since
        if waited < (min(self._every_s, EPOCH_S) if training.epoch_ended else self._every_s) or training.done:
            return False  # after the last step comes the update
        if self._cost_s is None:
            self._cost_s = layout_bytes(layout_of(training.checkpoint().tensors)) / DISK_BYTES_PER_S
        return self._cost_s <= COST * waited


def identity(
    assignment: Mapping[str, Any], share: Share, *, node_id: str, seed: int, threads: int
) -> dict[str, str | int | None]:
    """All that the bits of an update depend on; a checkpoint is good where every part of it is the same."""
    return work_of(assignment, share, node_id=node_id, seed=seed) | {
        "threads": threads,
        "library": f"torch {torch.__version__}",
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def work_of(assignment: Mapping[str, Any], share: Share, *, node_id: str, seed: int) -> dict[str, str | int | None]:
    """Which work an update is; a finished one is good where this is the same, wherever it was made."""
    spec = json.dumps(assignment["spec"], sort_keys=True)
    control = assignment["model"].get("control", {})
    return {
        "node_id": node_id,
        "task_id": str(assignment["task_id"]),
        "round": int(assignment["round"]),
        "base_version": int(assignment["model"]["version"]),
        "base_sha256": str(assignment["model"]["sha256"]),
        "control_sha256": control.get("sha256"),
        "variate_of": control.get("counted", {}).get("sha256"),
        "spec_sha256": hashlib.sha256(spec.encode()).hexdigest(),
        "examples_sha256": share.fingerprint,
        "partition_index": assignment.get("partition_index"),
        "seed": seed,
    }
