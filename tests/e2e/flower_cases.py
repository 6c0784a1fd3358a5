"""What the adapter makes of Flower's clients: run where Flower is, by test_generated_clients_train.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp

from edge_client.flower import FlowerTrainer, current_lesson
from federation.errors import ErrorCode, Refused
from federation.examples import Examples
from federation.spec import parse_spec
from federation.trainer import Learnt, Lesson, learn, reporter
from federation.weights import to_bytes
from orchestrator.clients.template import Subject, client_of, training_of
from orchestrator.clients.trial import try_client
from resources.models.catalogue import create_model
from resources.workload import Workload

SPEC = parse_spec(
    {
        "name": "t",
        "model": {"id": "mlp", "options": {"hidden": 5}},
        "data": {"id": "digits", "partition": {"parts": 4}},
        "training": {"epochs": 2, "learning_rate": 0.1, "batch_size": 16},
        "rounds": 9,
    }
)


def lesson(number: int = 1) -> Lesson:
    model = create_model("mlp", input_shape=(1, 8, 8), num_classes=10, options={"hidden": 5}, seed=1)
    examples = Examples(torch.rand(40, 1, 8, 8), torch.randint(10, (40,)))
    return Lesson(model, examples, examples.first(4), SPEC, number, 3, 2, reporter(lambda _: None, lambda: False))


def taught(client: Any, number: int = 1, **options: Any) -> tuple[Learnt, dict[str, torch.Tensor]]:
    given = lesson(number)
    start = {name: tensor.clone() for name, tensor in given.model.state_dict().items()}
    return learn(FlowerTrainer(client, **options), given, start), start


def replied(message: Message, arrays: ArrayRecord | None, **metrics: Any) -> Message:
    content = RecordDict({"metrics": MetricRecord({name.replace("__", "-"): value for name, value in metrics.items()})})
    if arrays is not None:
        content["arrays"] = arrays
    return Message(content=content, reply_to=message)


def app_that(answer: Any) -> ClientApp:
    app = ClientApp()
    app.train()(answer)
    return app


def plus_one(message: Message) -> ArrayRecord:
    state = message.content["arrays"].to_torch_state_dict()
    return ArrayRecord({name: tensor + 1 for name, tensor in state.items()})


class Counting(NumPyClient):
    """One more on every array."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}

    def fit(self, parameters: list[Any], config: dict[str, Any]) -> tuple[list[Any], int, dict[str, Any]]:
        self.config = config
        return [array + 1 for array in parameters], 40, {"train_loss": 1.5, "who": "me"}

    def evaluate(self, parameters: list[Any], config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        return float(sum(np.abs(array).sum() for array in parameters)), 4, {"accuracy": 0.25}


def assert_one_more(learnt: Learnt, start: dict[str, torch.Tensor]) -> None:
    for name, tensor in start.items():
        assert torch.allclose(learnt.weights[name], tensor + 1), name


def test_handlers_get_what_a_flower_server_would_send() -> None:
    seen: list[tuple[Message, Context]] = []

    def train(message: Message, context: Context) -> Message:
        seen.append((message, context))
        assert current_lesson().partition_index == 2
        return replied(message, plus_one(message), num__examples=40, train_loss=1.5)

    learnt, start = taught(app_that(train), 3, run_config={"my-own": 7})
    assert_one_more(learnt, start)
    assert (learnt.num_examples, learnt.num_steps) == (40, 6)  # steps as the task asks, where the app counts none
    assert learnt.metrics == {"train_loss": 1.5}
    (message, context), config = seen[0], seen[0][0].content["config"]
    assert list(message.content["arrays"]) == list(start)
    assert (config["server-round"], config["local-epochs"], config["lr"], config["batch-size"]) == (3, 2, 0.1, 16)
    assert context.node_config == {"partition-id": 2, "num-partitions": 4}
    assert (context.run_config["my-own"], context.run_config["num-server-rounds"]) == (7, 9)
    with pytest.raises(LookupError):
        current_lesson()


def test_a_numpy_client_takes_part_by_itself_and_inside_an_app() -> None:
    client = Counting()
    for given in (client, ClientApp(client_fn=lambda context: client.to_client())):
        learnt, start = taught(given)
        assert_one_more(learnt, start)
        assert learnt.num_examples == 40
        assert learnt.metrics["train_loss"] == 1.5
        assert learnt.metrics["app_eval_accuracy"] == 0.25
        assert learnt.metrics["app_eval_loss"] == pytest.approx(
            sum(float(tensor.abs().sum()) for tensor in start.values()), rel=1e-5
        )
    assert client.config["local_epochs"] == 2


def test_state_outlives_a_round() -> None:
    rounds: list[int] = []

    def train(message: Message, context: Context) -> Message:
        rounds.append(len(context.state))
        context.state[f"round-{len(rounds)}"] = MetricRecord({"x": 1})
        return replied(message, message.content["arrays"], num__examples=1)

    trainer = FlowerTrainer(app_that(train))
    for number in (1, 2):
        trainer(lesson(number))
    assert rounds == [0, 1]


def test_an_apps_own_names_are_matched_by_place_and_its_order_by_name() -> None:
    def backwards(message: Message, context: Context) -> Message:
        arrays = plus_one(message)
        assert list(arrays) == ["a", "b", "c", "d"]
        return replied(
            message, ArrayRecord({name: arrays[name] for name in sorted(arrays, reverse=True)}), num__examples=1
        )

    learnt, start = taught(app_that(backwards), names=["a", "b", "c", "d"])
    assert_one_more(learnt, start)
    with pytest.raises(Refused, match="3 names were given for the 4"):
        taught(app_that(backwards), names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (
            lambda m: replied(m, ArrayRecord([np.zeros(3)] * 4), num__examples=1),
            "bad_update",
            r"'hidden\.weight' .*\[3\]",
        ),
        (
            lambda m: replied(m, ArrayRecord([np.zeros(3)]), num__examples=1),
            "bad_update",
            "1 arrays, where",
        ),
        (lambda m: replied(m, None, num__examples=1), "bad_update", "0 array records"),
        (lambda m: replied(m, plus_one(m)), "bad_count", "num-examples"),
        (lambda m: replied(m, plus_one(m), num__examples=0.5), "bad_count", "num-examples"),
        (lambda m: 1 / 0, "bad_update", "ZeroDivisionError"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_layers_name(answer: Any, code: str, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        taught(app_that(lambda message, context: answer(message)))
    assert caught.value.code == code


def test_what_is_no_client_of_flowers_is_refused() -> None:
    with pytest.raises(Refused, match="a str is no Flower client") as caught:
        FlowerTrainer("client")  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_generated_flower_client_is_tried_in_the_sandbox(tmp_path: Path) -> None:
    subject, model = Subject("task-abcdefghijklmnop", SPEC, (1, 8, 8), 10), tmp_path / "model"
    model.write_bytes(to_bytes(Workload().initial_weights(SPEC)))
    code = client_of(subject, "flower", training_of("flower"))
    trial = try_client(code, subject, "flower", model, round=1, workload=Workload(), hidden=[tmp_path])
    assert trial.accepted, trial
    assert trial.loss_before is not None
    assert trial.loss_after is not None
    assert trial.loss_after < trial.loss_before
    assert trial.metrics is not None
    assert "app_eval_accuracy" in trial.metrics
