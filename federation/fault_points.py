"""Named places where a test may end this process, halt it, or find the disk full.

`POTLUCK_FAULT` says where and what, e.g. `kill@update_committed` or `disk_full@part_synced:2` (the second time).
Without it a point costs one comparison. Tests drive faults by these names, not by luck: `tests/e2e` walks all of them.

    kill       SIGKILL: nothing after this line happens
    stop       SIGSTOP: the process halts here until it gets SIGCONT or a signal that ends it
    disk_full  OSError(ENOSPC), as the write at this place would raise it
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
from collections.abc import Callable

from federation.errors import ErrorCode, Refused

log = logging.getLogger(__name__)

VARIABLE = "POTLUCK_FAULT"

SERVER_POINTS = {
    "first_model_stored": "create_task: version 0 of the model is a blob, the task has no row",
    "task_written": "create_task: task, version 0 and round 1 are written",
    "task_created": "create_task: they are committed",
    "share_taken": "get_assignment: the node's share of the data is committed",
    "cohort_written": "get_assignment: the round's cohort is written",
    "cohort_drawn": "get_assignment: it is committed",
    "upload_announced": "begin_upload: the upload's row is committed",
    "part_written": "a file on its way into the spool: some of its bytes are written",
    "part_synced": "the same: all bytes are on disk, under a name that means nothing",
    "part_renamed": "the same: it has its name as a blob, the folder is not synced",
    "folder_synced": "the same: it is a blob",
    "chunk_appended": "upload_chunk: the chunk is appended",
    "chunks_complete": "upload_chunk: the last chunk has made a blob of the file",
    "received_written": "PUT, upload_chunk or submit_update: the row that says that the upload is there is written",
    "upload_received": "the same: it is committed",
    "update_written": "submit_update: update, assignment, metrics and event are written",
    "update_committed": "submit_update: they are committed",
    "claim_written": "the round is written as aggregating",
    "round_claimed": "it is committed as aggregating",
    "round_folded": "the updates are folded into the new model, in memory",
    "new_model_stored": "the new model is a blob, its version has no row",
    "next_round_written": "the new version, the closed round and the next round are written",
    "finish_written": "the new version, the closed round and the task's end are written",
    "round_closed": "they are committed",
    "void_written": "a round without its quorum is written as void, and the next round as open",
    "round_void": "they are committed",
    "prune_written": "that the files of rounds long over are needed no more is written",
    "prune_committed": "it is committed, the files are still there",
    "blob_pruned": "one of these files is removed",
}
"""The server's side of a round, in the order in which it happens.

`written` is within a transaction, before its commit; when it is committed nobody has been told yet.
"""

NODE_POINTS = {
    "node_handshake_done": "the node has its token, and has asked for nothing yet",
    "node_assignment_received": "work has been assigned; nothing has been done about it",
    "node_download_partly": "a piece of the model is on the node's disk, not all of it",
    "node_model_downloaded": "the model is on the node's disk, its hash checked",
    "node_control_downloaded": "SCAFFOLD: the server's control variate is on the node's disk, its hash checked",
    "node_step_done": "a step of the optimiser has been made",
    "node_state_unsealed": "a file of the node's state is written, but neither synced nor in its place",
    "node_checkpoint_written": "a checkpoint of the training is on the node's disk",
    "node_variate_stored": "SCAFFOLD: the node's own control variate after this round is on its disk",
    "node_update_stored": "the finished update is on the node's disk, or in memory where the disk would not take it",
    "node_upload_announced": "begin_upload has been answered",
    "node_upload_partly": "a piece of the update's body has been sent on the raw lane",
    "node_chunk_sent": "a chunk of the update has been sent in-band",
    "node_upload_complete": "the server has all bytes of the update; it has not been submitted",
    "node_update_sent": "submit_update has been sent and answered; the answer has not been read (Streamable HTTP)",
    "node_receipt_received": "the receipt has been read; the node's disk does not know yet",
    "node_evaluated": "the final model has been scored; the score has not been sent",
}
"""The Python node's, in the order of a round."""

SIMULATION_POINTS = {
    "simulation_started": "the process that simulates has been started and told what; it has said nothing",
    "simulated_round_written": "a simulated round, its version and the next round are written",
    "simulated_round_kept": "they are committed; the process that simulates does not know, nor does anyone else",
}
"""The server's, while it runs a simulation; those that store a model and free files are on its way as well."""

POINTS: dict[str, str] = SERVER_POINTS | NODE_POINTS | SIMULATION_POINTS
"""Every point, and what has been done when it is reached."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _disk_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_ACTIONS: dict[str, Callable[[], None]] = {"kill": _kill, "stop": _stop, "disk_full": _disk_full}


class Fault:
    """One fault, which happens the `nth` time that its point is reached, and once."""

    def __init__(self, text: str) -> None:
        action, _, place = text.partition("@")
        self.point, _, nth = place.partition(":")
        if action not in _ACTIONS or self.point not in POINTS or not (nth or "1").isdecimal() or nth == "0":
            raise Refused(
                ErrorCode.INVALID_ARGUMENT,
                f"{VARIABLE} is {text!r}, which is no fault.",
                f"unset it, or write ACTION@POINT[:NTH]; actions: {', '.join(_ACTIONS)}; points: {', '.join(POINTS)}",
            )
        self._act = _ACTIONS[action]
        self._left = int(nth or "1")
        self._lock = threading.Lock()

    def reached(self, point: str) -> None:
        """Acts, if this is the place and the time."""
        if point != self.point:
            return
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due:
            log.warning("%s asked for a fault at %s", VARIABLE, point)
            self._act()


_fault: Fault | None = None


def arm(text: str | None) -> None:
    """Sets the fault of this process, or none. Called on import with the environment's."""
    global _fault  # noqa: PLW0603 - one process, one fault
    _fault = Fault(text) if text else None
    if _fault is not None:
        log.warning("%s is %s: this process will fail there, as tests want it to", VARIABLE, text)


def reach(point: str) -> None:
    """Marks the place in the code that `POINTS` describes under this name."""
    if _fault is not None:
        _fault.reached(point)


arm(os.environ.get(VARIABLE))
