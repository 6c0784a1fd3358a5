"""Flower's clients as Potluck nodes: `Node(url, task_id, trainer=FlowerTrainer(app))`. Needs the extra `flower`.

A Flower server would send a `train` message and, of the same model, an `evaluate` message; so does this adapter, each
round, in this process. Nothing of Flower's network, SuperLink or SuperNode is involved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch

from federation.errors import ErrorCode, Refused
from federation.layout import shown
from federation.trainer import Learnt, Lesson
from federation.training import total_steps
from federation.weights import Tensors

if TYPE_CHECKING:
    from flwr.app import ArrayRecord, Context, Message, RecordDict
    from flwr.client import Client, NumPyClient
    from flwr.clientapp import ClientApp

_EXAMPLES = "num-examples"
_LEGACY_METRICS = ("fitres.metrics", "evaluateres.metrics")
_lesson: ContextVar[Lesson] = ContextVar("lesson")


def current_lesson() -> Lesson:
    """The round that a handler is training right now: the task's model, the node's examples, `progress`.

    Raises:
        LookupError: outside of a `FlowerTrainer`.
    """
    return _lesson.get()


class FlowerTrainer:
    """A Flower client as the training of a node.

    Args:
        client: a `ClientApp`, with handlers or with a `client_fn`; or a `NumPyClient`.
        run_config: more for `context.run_config`, e.g. what pyproject.toml says under `[tool.flwr.app.config]`.
        names: what the app's own model calls its tensors, in the order of the task's model, e.g.
            `list(Net().state_dict())`; default: as the task's model does.
        evaluate: call the app's evaluation, if it has one, with the weights that came: its numbers are reported with
            the update as `app_eval_…`. What Potluck calls `eval_…` is the node's own score on held-out examples.

    Raises:
        Refused: INCOMPATIBLE_NODE where Flower is not installed, INVALID_ARGUMENT where `client` is nothing of
            Flower's.
    """

    def __init__(
        self,
        client: ClientApp | NumPyClient,
        *,
        run_config: Mapping[str, bool | int | float | str] | None = None,
        names: Sequence[str] | None = None,
        evaluate: bool = True,
    ) -> None:
        self._app = _app_of(client)
        self._given = dict(run_config or {})
        self._names = None if names is None else list(names)
        self._evaluates = evaluate
        self._state: RecordDict | None = None  # Flower's, which outlives a round

    def __call__(self, lesson: Lesson) -> Learnt:
        """One round: what a Flower server would send, and what it would make of the answer.

        Raises:
            Refused: BAD_UPDATE for an answer whose arrays do not fit the model, with the name of the first that does
                not; BAD_COUNT for one without num-examples.
        """
        start = lesson.model.state_dict()
        names = self._names_for(start)
        context = self._context(lesson)
        with _teaching(lesson):
            scores = self._evaluated(lesson, context, start, names)
            reply = self._answer("train", lesson, context, start, names)
        metrics = _metrics(reply.content)
        examples = metrics.pop("num_examples", None)
        if examples is None or examples != int(examples):
            problem = f"the Flower client's answer has no whole number {_EXAMPLES!r} among its metrics."
            raise Refused(ErrorCode.BAD_COUNT, problem, f'reply with MetricRecord({{"{_EXAMPLES}": n, …}})')
        steps = metrics.pop("num_steps", None) or total_steps(max(1, int(examples)), lesson.training)
        weights = _weights(_arrays(reply.content), start, names)
        return Learnt(weights, int(examples), int(steps), metrics | scores)

    def _names_for(self, start: Tensors) -> list[str]:
        if self._names is None:
            return list(start)
        if len(self._names) != len(start) or len(set(self._names)) != len(start):
            problem = f"{len(self._names)} names were given for the {len(start)} tensors of the task's model."
            raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "give list(Net().state_dict()) of the same architecture")
        return self._names

    def _evaluated(self, lesson: Lesson, context: Context, start: Tensors, names: list[str]) -> dict[str, float]:
        """What the app's own evaluation says of the weights that came; nothing where it has none."""
        legacy = _is_legacy(self._app)
        if not self._evaluates or not (legacy or "evaluate.default" in self._app._registered_funcs):
            return {}
        found = _metrics(self._answer("evaluate", lesson, context, start, names).content)
        if legacy and not found.get("num_examples"):  # Flower's answer for a client without one
            return {}
        return {f"app_eval_{name.removeprefix('eval_')}": value for name, value in found.items()}

    def _answer(self, kind: str, lesson: Lesson, context: Context, start: Tensors, names: list[str]) -> Message:
        from flwr.app import DEFAULT_TTL, ArrayRecord, ConfigRecord, Message, Metadata, RecordDict

        config = _config(lesson)
        record = ArrayRecord({name: t.detach().cpu() for name, t in zip(names, start.values(), strict=True)})
        if _is_legacy(self._app):
            word = "fitins" if kind == "train" else "evaluateins"
            record = ArrayRecord([tensor.detach().cpu().numpy() for tensor in start.values()])
            plain = {name.replace("-", "_"): value for name, value in config.items()}
            content = RecordDict({f"{word}.parameters": record, f"{word}.config": ConfigRecord(plain)})
        else:
            content = RecordDict({"arrays": record, "config": ConfigRecord(config)})
        number, to = str(lesson.round), context.node_id
        about = Metadata(context.run_id, f"{kind}-{number}", 0, to, "", number, time.time(), DEFAULT_TTL, kind)
        reply = self._app(Message(content=content, metadata=about), context)
        if reply.has_error():
            problem = f"the Flower client answered the {kind} message with an error: {reply.error.reason}"
            raise Refused(ErrorCode.BAD_UPDATE, problem, "mend the client's handler")
        return reply

    def _context(self, lesson: Lesson) -> Context:
        from flwr.app import Context, RecordDict

        self._state = RecordDict() if self._state is None else self._state
        index = lesson.partition_index
        parts = 1 if index is None else lesson.spec.data.partition.parts
        node = {"partition-id": index or 0, "num-partitions": parts}
        config = _config(lesson) | {"num-server-rounds": lesson.spec.rounds} | self._given
        return Context(1, 1 + (index or 0), node, self._state, config)


def _config(lesson: Lesson) -> dict[str, Any]:
    """A round's parameters by the names that Flower's own examples use."""
    training = lesson.training
    config: dict[str, Any] = {
        "server-round": lesson.round,
        "local-epochs": training.epochs,
        "batch-size": training.batch_size,
    }
    config |= {"lr": training.learning_rate, "learning-rate": training.learning_rate}
    config |= {"momentum": training.momentum, "weight-decay": training.weight_decay, "optimizer": training.optimizer}
    config |= {"seed": lesson.seed}
    if training.max_steps is not None:
        config["max-steps"] = training.max_steps
    if lesson.proximal:
        config["proximal-mu"] = lesson.proximal
    return config


def _app_of(client: Any) -> ClientApp:
    try:
        from flwr.client import NumPyClient
        from flwr.clientapp import ClientApp
    except ImportError:
        problem, mend = "Flower is not installed here.", "pip install 'potluck-fl[flower]'"
        raise Refused(ErrorCode.INCOMPATIBLE_NODE, problem, mend) from None
    if isinstance(client, NumPyClient):

        def client_fn(context: Context) -> Client:
            return client.to_client()

        return ClientApp(client_fn=client_fn)
    if not isinstance(client, ClientApp):
        problem = f"a {type(client).__name__} is no Flower client."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "give a flwr ClientApp or NumPyClient")
    return client


def _is_legacy(app: ClientApp) -> bool:
    """Whether it was made from a `client_fn`, which takes other messages. Flower has no public word for it."""
    return app._call is not None


@contextmanager
def _teaching(lesson: Lesson) -> Iterator[None]:
    token = _lesson.set(lesson)
    try:
        yield
    finally:
        _lesson.reset(token)


def _arrays(content: RecordDict) -> ArrayRecord:
    records = list(content.array_records.values())
    if len(records) != 1:
        problem = f"the Flower client's answer holds {len(records)} array records."
        mend = 'reply with one: RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": …})'
        raise Refused(ErrorCode.BAD_UPDATE, problem, mend)
    return records[0]


def _weights(arrays: ArrayRecord, start: Tensors, names: list[str]) -> dict[str, torch.Tensor]:
    """By name where the names are those that were sent, in any order; else by place, as lists of arrays have none."""
    by_name = set(arrays) == set(names)
    if len(arrays) != len(start):
        problem = f"the Flower client answered {len(arrays)} arrays, where the model has {len(start)}."
        raise Refused(ErrorCode.BAD_UPDATE, problem, "answer all that came, trained")
    found = {}
    for (name, tensor), sent, came in zip(start.items(), names, arrays, strict=True):
        array = arrays[sent if by_name else came].numpy()
        if array.shape != tuple(tensor.shape):
            problem = f"tensor {shown(name)} came back from Flower with shape {list(array.shape)}, "
            problem += f"where the model's is {list(tensor.shape)}."
            raise Refused(ErrorCode.BAD_UPDATE, problem, "answer the arrays in the order and shapes in which they came")
        found[name] = torch.from_numpy(array.copy())
    return found


def _metrics(content: RecordDict) -> dict[str, float]:
    """All numbers of an answer, by names that a server takes; a legacy client's own are in a record of config."""
    records: list[Mapping[str, Any]] = list(content.metric_records.values())
    records += [record for heading, record in content.config_records.items() if heading in _LEGACY_METRICS]
    pairs = [pair for record in records for pair in record.items()]
    return {_named(name): float(v) for name, v in pairs if isinstance(v, int | float) and math.isfinite(v)}


def _named(name: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name.lower())
    return (plain if plain[:1].isalpha() else f"m_{plain}")[:40]
