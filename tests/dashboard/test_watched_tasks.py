"""What the Federation tab makes of what the server says."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.watch import cohort, contributions, curves, levers, lineage, naming, overview, reading, report
from dashboard.watch.reading import Choice, Picture, chosen_task, chosen_tasks, in_progress, looked_into, versions
from tests.dashboard.scenes import HOSTILE, OPERATOR, VIEWER, collecting, member, metric, past_round, seen, task, update


def summary(name: str, **changes: Any) -> dict[str, Any]:
    found = {"task_id": f"task-{name}", "name": name, "state": "running", "model": "mlp", "data": "digits"}
    return found | {"round": 1, "num_rounds": 5, "simulated": False} | changes


def test_the_filter_looks_for_all_words_and_for_kinds() -> None:
    tasks = [summary("Night shift"), summary("Day", state="finished"), summary("Dream", simulated=True)]

    def named(**choice: Any) -> list[str]:
        return [each["name"] for each in chosen_tasks(tasks, Choice(**choice))]

    assert named() == ["Night shift", "Day", "Dream"]
    assert named(words="SHIFT night") == ["Night shift"]
    assert named(words="night day") == []
    assert named(kind="Over") == ["Day"]
    assert named(kind="Going on") == ["Night shift", "Dream"]
    assert named(kind="Simulated") == ["Dream"]


def test_without_a_choice_the_latest_running_task_is_shown_and_a_choice_stays() -> None:
    tasks = [summary("new", state="finished"), summary("b"), summary("c")]
    assert chosen_task(tasks, None) == "task-b"
    assert chosen_task(tasks, "task-c") == "task-c"
    assert chosen_task(tasks, "task-gone") == "task-b"
    assert chosen_task(tasks[:1], None) == "task-new"
    assert chosen_task([], None) is None


def test_the_round_looked_into_is_the_wanted_or_the_latest_that_is_over() -> None:
    rounds = [past_round(1), past_round(2, state="void", version=None), past_round(3, state="collecting", version=None)]
    assert in_progress(rounds)
    assert looked_into(rounds, None) == 2
    assert looked_into(rounds, 1) == 1
    assert looked_into(rounds, 9) == 2
    assert looked_into(rounds[2:], None) is None
    assert versions(task(rounds=rounds, version=1)) == [2, 1, 0]


def test_who_trains_who_has_delivered_who_is_late_and_who_is_gone() -> None:
    report = {"round": 3, "step": 5, "total_steps": 20, "loss": 0.25, "memory_bytes": 3e8}
    members = [
        member("node-trains", progress=report),
        member("node-waits"),
        member("node-away", at_hand=False),
        member("node-done", submitted=True),
    ]
    ids = [each["node_id"] for each in members]
    current = collecting([{"node_id": each, "submitted": each == "node-done"} for each in ids], submitted=1)
    shown = cohort.cohort(seen(task(nodes=members), current=current))
    for name, words in (("trains", "training"), ("waits", "has its work"), ("away", "gone"), ("done", "delivered")):
        card = next(part for part in shown.split("<li") if f"<bdi>{name}</bdi>" in part)
        assert f"<bdi>{words}</bdi>" in card
    assert '<progress max="20" value="5"' in shown
    assert "loss 0.25" in shown
    assert f'data-until="{current["deadline_at"]:.1f}"' in shown
    late = collecting([{"node_id": "node-trains", "submitted": False}], submitted=2)
    assert "<bdi>late</bdi>" in cohort.cohort(seen(task(nodes=members), current=late))


@pytest.mark.parametrize(
    ("state", "words"), [("created", "has not begun"), ("paused", "paused"), ("finished", "finished")]
)
def test_between_rounds_it_is_said_why_nothing_goes_on(state: str, words: str) -> None:
    assert words in cohort.cohort(seen(task(state=state)))


def test_a_round_that_waits_for_nodes_says_how_many_it_needs() -> None:
    waits = collecting([], state="open", deadline_at=None)
    assert "2 at hand, at least 2 needed" in cohort.cohort(seen(current=waits))
    assert "It is paused" in cohort.cohort(seen(task(state="paused"), current=waits))


def test_curves_go_by_round_from_the_initial_model_on_and_mark_the_best() -> None:
    rows = [metric("accuracy", 0.1, 0), metric("accuracy", 0.6, 1), metric("accuracy", 0.7, 2)]
    rows += [metric("eval_accuracy", 0.5, 1, source="nodes"), metric("train_loss", 0.4, 1, round=2, source="nodes")]
    drawn = curves.curves(seen(metrics=rows))
    accuracy = drawn["accuracy"]
    assert accuracy is not None
    server, nodes, best = accuracy.data
    assert (list(server.x), list(server.y)) == ([0, 1, 2], [10.0, 60.0, 70.0])
    assert (list(nodes.x), list(nodes.y)) == ([1], [50.0])
    assert (list(best.x), list(best.y), best.name) == ([2], [70.0], "best: v2")
    loss = drawn["loss"]
    assert loss is not None
    assert list(loss.data[0].x) == [2]  # what nodes met while they trained belongs to the round itself
    assert drawn["perplexity"] is None
    assert drawn["lora-error"] is None


def test_where_earlier_rounds_are_left_out_it_is_said() -> None:
    assert curves.extent(seen()) == ""
    late = task(rounds=[past_round(51), past_round(52)])
    assert curves.extent(seen(late)).startswith("Rounds 51 to 52;")


def test_a_version_that_was_rolled_back_to_keeps_its_round() -> None:
    rounds = [past_round(1), past_round(2), past_round(3, base_version=1)]
    rows = [metric("accuracy", version / 10, version) for version in (1, 2, 3)]
    assert curves.by_round(seen(task(rounds=rounds), metrics=rows), "accuracy") == {1: 0.1, 2: 0.2, 3: 0.3}


def test_memory_is_each_nodes_peak_by_round_with_what_it_reports_now() -> None:
    rows = [metric("memory_bytes", 100e6, 0, round=1, source="node", node_id="node-ada")]
    now = member("node-ada", progress={"round": 2, "memory_bytes": 200e6})
    chart = curves.memory(seen(task(nodes=[now]), metrics=rows))
    assert chart is not None
    assert (list(chart.data[0].x), list(chart.data[0].y)) == ([1, 2], [100.0, 200.0])
    assert chart.data[0].name == "ada"


def test_bytes_seconds_and_classes_are_drawn_in_their_units() -> None:
    traffic, seconds = curves.traffic([past_round(1)]), curves.seconds([past_round(1)])
    assert traffic is not None
    assert [(bar.name, list(bar.y)) for bar in traffic.data] == [("up", [2.0]), ("down", [3.0])]
    assert seconds is not None
    assert list(seconds.data[0].y) == [1.5]
    assert all(bar.marker.color and bar.marker.pattern.fillmode == "overlay" for bar in traffic.data)
    by_class = {"version": 2, "metrics": {"accuracy.class_1": 0.5, "accuracy.class_0": 1.0, "accuracy": 0.7}}
    classes = curves.classes(seen(version=by_class))
    assert classes is not None
    assert (list(classes.data[0].x), list(classes.data[0].y)) == ([0, 1], [100.0, 50.0])
    assert curves.traffic([past_round(1, bytes_up=0, bytes_down=0)]) is None


def test_contributions_tell_weights_and_why_some_do_not_count() -> None:
    into = past_round(2) | {
        "cohort": [
            {"node_id": name, "submitted": name != "node-late"} for name in ("node-ada", "node-bob", "node-late")
        ],
        "updates": [
            update("node-ada", weight=1.0),
            update("node-bob", weight=0.0, cosine=-0.5, reason="excluded: far off"),
        ],
    }
    shown = contributions.contributions(seen(looked_into=into))
    assert "100.0\u00a0%" in shown
    assert "excluded: far off" in shown
    assert "brought nothing in time" in shown
    weights, directions = (
        contributions.weights(seen(looked_into=into)),
        contributions.directions(seen(looked_into=into)),
    )
    assert weights is not None
    assert list(weights.data[0].x) == [0.0, 100.0]
    assert directions is not None
    assert list(directions.data[0].customdata) == ["bob", "ada"]
    unweighed = into | {"updates": [update("node-ada", weight=None, cosine=None)]}
    assert contributions.weights(seen(looked_into=unweighed)) is None


def test_lineage_tells_what_made_a_version_and_links_only_to_this_server() -> None:
    version = {
        "task_id": "t",
        "version": 2,
        "parent": 1,
        "round": 2,
        "rule": "fedavg",
        "sha256": "2" * 64,
        "size": 1000,
    }
    version |= {
        "created_at": 0.0,
        "url": "raw/blobs/abc",
        "metrics": {"accuracy": 0.7},
        "made_of": [update("node-ada")],
    }
    shown = lineage.detail(seen(version=version))
    assert 'href="raw/blobs/abc"' in shown
    assert "<bdi>v1</bdi>" in shown
    assert "<bdi>ada</bdi>" in shown
    assert "javascript" not in lineage.detail(seen(version=version | {"url": "javascript:alert(1)"}))
    assert lineage.choices(task()) == [("v2 (current, best)", 2), ("v1", 1), ("v0", 0)]


def test_levers_are_offered_only_to_operators_and_where_they_make_sense() -> None:
    def offered(the_task: dict[str, Any], **changes: Any) -> set[str]:
        return set(levers.offered(seen(the_task, **({"tools": OPERATOR} | changes))))

    old = {"version": 1, "metrics": {}}
    current = collecting([])
    assert offered(task(), current=current, version=old) == {"pause", "close", "cancel", "roll_back"}
    assert offered(task(), current=current, version=old, tools=VIEWER) == set()
    assert offered(task(state="paused")) == {"resume", "cancel"}
    assert offered(task(state="created")) == {"start", "cancel"}
    assert offered(task(state="finished"), version={"version": 2}) == set()
    assert "close" not in offered(task(simulation={"engine": "loop"}), current=current)


def test_a_question_says_what_the_action_would_do() -> None:
    the_task = task(rounds=[past_round(3, submitted=1)])
    asked = levers.question(levers.Pending("close", "t", round=3), the_task)
    assert "Close round 3" in asked
    assert "1 update that has arrived" in asked
    assert "v1 the current model" in levers.question(levers.Pending("roll_back", "t", version=1), the_task)
    assert "cannot be resumed" in levers.question(levers.Pending("cancel", "t"), the_task)


@pytest.mark.parametrize("state", ["running", "paused", "finished", "cancelled"])
def test_a_roll_back_promises_a_round_only_where_one_follows(state: str) -> None:
    asked = levers.question(levers.Pending("roll_back", "t", version=1), task(state=state))
    over = state in ("finished", "cancelled")
    assert ("The next round starts from it" in asked) != over
    assert ("no round follows" in asked) == over
    assert "v1 is the current model" in levers.done(levers.Pending("roll_back", "t", version=1))


def test_long_names_are_cut_to_what_tells_them_apart_and_whole_for_a_pointer() -> None:
    one, other = "node-aaaaaaaaaaaaxbbbb", "node-aaaaaaaaaaaaybbbb"
    known = naming.shortened([one, other, "ada"])
    assert known["ada"] == "ada"
    assert known[one] != known[other]
    assert naming.shortened([one])[one] == "node-aaaaa…bbbb"
    into = past_round(2) | {"cohort": [], "updates": [update("node-ada")]}
    picture = seen(looked_into=into, names={"node-ada": one})
    shown = contributions.contributions(picture)
    assert f'title="{one}"' in shown
    assert "<bdi>node-aaaaa…bbbb</bdi>" in shown
    bars = contributions.weights(picture)
    assert bars is not None
    assert list(bars.layout.yaxis.ticktext) == ["node-aaaaa…bbbb"]


class Rounds:
    """A server on which rounds end while a page reads: what each reading of a resource says, the last for ever."""

    def __init__(self, **says: list[Any]) -> None:
        self.says = says

    async def read(self, uri: str) -> Any:
        """Of what is asked most, the next answer."""
        name = next((each for each in ("rounds", "metrics", "model", "nodes") if f"/{each}" in uri), "task")
        if uri == "potluck://tasks":
            return [summary("a", task_id="task-aaaaaaaaaaaaaaaa")]
        answers = self.says.get(name, [[]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.mark.anyio
async def test_a_picture_whose_round_ended_while_it_was_read_is_read_again() -> None:
    going = task(rounds=[past_round(1), collecting([])])
    ended = task(rounds=[past_round(1), past_round(3)])
    line: Any = Rounds(task=[going, ended], rounds=[past_round(3)], model=[{"version": 2}])
    found = await reading.picture(line, Choice(), VIEWER)
    assert found.task == ended
    assert found.current is None


@pytest.mark.anyio
async def test_no_round_is_shown_in_progress_once_it_is_closed_however_fast_rounds_are() -> None:
    line: Any = Rounds(task=[task(rounds=[collecting([])])], rounds=[past_round(3)], model=[{"version": 2}])
    found = await reading.picture(line, Choice(), VIEWER)
    assert found.current is None
    assert "in progress" not in cohort.cohort(found)


def test_who_sees_nothing_is_told_what_to_do_and_an_empty_server_how_to_begin() -> None:
    assert "Sign in" in overview.no_tasks(Picture(frozenset()))
    assert "New task" in overview.no_tasks(Picture(OPERATOR))
    assert "An operator starts one" in overview.no_tasks(Picture(VIEWER))
    assert "No task fits" in overview.no_tasks(Picture(VIEWER, unfiltered=3))


def test_of_very_many_tasks_the_newest_are_listed_with_the_chosen_one_and_the_rest_is_counted() -> None:
    tasks = [summary(f"task {number}", task_id=f"task-{number}") for number in range(70)]
    picture = Picture(VIEWER, tasks, unfiltered=70, task=task(task_id="task-65"))
    ids = [task_id for _, task_id in overview.choices(picture)]
    assert ids == [*(f"task-{number}" for number in range(60)), "task-65"]
    assert "10 more" in overview.beside_tasks(picture)
    assert overview.beside_tasks(Picture(VIEWER, tasks[:60])) == ""


def test_a_simulated_task_says_so_and_how_far_it_is() -> None:
    how = {"engine": "loop", "attack": "sign_flip", "attackers": 0.3, "clients": 10, "workers": None}
    progress = {"round": 2, "clients_trained": 4, "clients_selected": 10, "waits_for": 0}
    shown = overview.glance(seen(task(simulation=how | {"progress": progress})))
    assert "Round 2: 4 of 10 clients have trained" in shown
    waits = overview.glance(seen(task(simulation=how | {"progress": progress | {"waits_for": 2}})))
    assert "2 simulations before it" in waits


def test_no_part_of_the_tab_takes_a_strangers_text_for_markup() -> None:
    the_task = task(name=HOSTILE, reason=HOSTILE, nodes=[member("node-ada", name=HOSTILE)])
    into = past_round(2, reason=HOSTILE) | {
        "cohort": [{"node_id": "node-ada", "submitted": False}],
        "updates": [update("node-ada", reason=HOSTILE)],
    }
    node = {"node_id": "node-ada", "name": HOSTILE, "capabilities": {"runtime": HOSTILE, "device": HOSTILE}}
    node["tasks"] = [{"task_id": "t", "partition_index": 0, "at_hand": True}]
    version = {"version": 2, "parent": 1, "round": 2, "rule": HOSTILE, "sha256": "2", "size": 1, "created_at": 0.0}
    version |= {"url": "raw/x", "metrics": {}, "made_of": [update("node-ada")]}
    current = collecting(into["cohort"])
    picture = seen(
        the_task, nodes=[node], looked_into=into, current=current, version=version, names={"node-ada": HOSTILE}
    )
    pieces = (
        overview.glance(picture),
        overview.nodes(picture),
        cohort.cohort(picture),
        contributions.contributions(picture),
        lineage.detail(picture),
        levers.question(levers.Pending("pause", "t"), the_task),
        levers.exported({"files": {HOSTILE: HOSTILE}, "url": "raw/x", "weights": HOSTILE}),
        report.summarized(
            {"text": HOSTILE, "writer": HOSTILE, "claims": [{"claim": HOSTILE}], "findings": [{"text": HOSTILE}]}
        ),
    )
    for piece in pieces:
        assert "<img" not in piece
        assert "&lt;img" in piece
    [(label, _)] = overview.choices(Picture(VIEWER, [summary(HOSTILE)]))
    assert label.count("\n") == 1
