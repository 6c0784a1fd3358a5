"""The command line of a client that trains in a way of its own: `run_client(train, task_id=…)` is all of its main."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_client.answers import Lost
from edge_client.events import Event
from edge_client.node import Node
from federation.errors import Refused
from federation.trainer import Learnt, Lesson, Trainer

__all__ = ["Learnt", "Lesson", "run_client"]


def run_client(trainer: Trainer, *, task_id: str, arguments: Sequence[str] | None = None) -> int:
    """Join `task_id` and train with `trainer` until it is finished; the exit code. Ctrl-C says goodbye and leaves.

    Args:
        arguments: of the command line; default: the process's own. `--help` explains them.
    """
    asked = _parser(task_id).parse_args(arguments)
    try:
        node = Node(
            asked.url,
            asked.task,
            token=asked.token or os.environ.get("POTLUCK_TOKEN"),
            data=asked.data,
            index=asked.index,
            key=asked.key,
            name=asked.name,
            trainer=trainer,
            patience_s=asked.patience,
            on_event=_Lines(),
        )
        asyncio.run(_until_told_to_leave(node))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    except Lost as lost:
        print(f"{asked.url} is out of reach: {lost}. Mend: check the URL, and that the server runs", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("left", file=sys.stderr)
        return 130
    return 0


async def _until_told_to_leave(node: Node) -> None:
    running = asyncio.ensure_future(node.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await running


class _Lines:
    """A line for each thing that happens; of the steps of a training, none."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, event: Event) -> None:
        if event.kind != "progress" and event.text != self._last:  # waiting again for the same thing is no news
            self._last = event.text
            print(event.text, flush=True)


def _parser(task_id: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"Join {task_id} of a Potluck server with a training of one's own.")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:7860", help="the server's base URL")
    parser.add_argument("--task", default=task_id, help="another task of the same model")
    parser.add_argument(
        "--token", help="bearer token; default: POTLUCK_TOKEN in the environment, which ps does not show"
    )
    parser.add_argument("--data", help="the path of data of your own; default: a share of the task's data set")
    parser.add_argument("--index", type=int, help="which share; default: one that is free")
    parser.add_argument("--key", type=Path, help="the file of this node's key, made if missing")
    parser.add_argument("--name", help="what people read in lists of nodes")
    parser.add_argument(
        "--patience", type=float, help="seconds to go on asking a server that is lost; default: for ever"
    )
    return parser
