"""A person writes a task, simulates, draws a digit and brings a machine in, in a real browser on a real server."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from forked import ForkedChildren
from machine import OPERATOR, Machine
from outside import missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page

for needed in ("playwright", "gradio"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"no {needed}: pip install -e '.[dev,space]'", allow_module_level=True)

pytestmark = pytest.mark.timeout(300)
HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{constructor}}"


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One server for all tests here."""
    folder: Path = tmp_path_factory.mktemp("steered")
    with ForkedChildren(folder / "logs") as children:
        machine = Machine(folder, children)
        machine.start_server()
        yield machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    import shutil

    from playwright.sync_api import expect, sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("no chromium: apt-get install chromium")
    expect.set_options(timeout=60_000)
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def operator(browser: Browser, machine: Machine) -> Iterator[Page]:
    """A page on which the operator has signed in. No script fails on it, and no stranger's text runs."""
    yield from _page(browser, machine, OPERATOR)


def _page(browser: Browser, machine: Machine, token: str | None) -> Iterator[Page]:
    with browser.new_context(viewport={"width": 1280, "height": 1400}, reduced_motion="reduce") as context:
        context.set_default_timeout(60_000)
        page, broken = context.new_page(), list[str]()

        def dismissed(dialog: Dialog) -> None:
            broken.append(dialog.message)
            dialog.dismiss()

        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on("dialog", dismissed)
        page.goto(machine.url)
        page.locator("#who").wait_for(timeout=60_000)
        if token is not None:
            page.locator("#token input").fill(token)
            page.locator("#sign-in").click()
            page.locator("#sign-out").wait_for()
        yield page
        assert broken == []


def _open(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()


def _call(portal: BlockingPortal, machine: Machine, tool: str, **arguments: Any) -> dict[str, Any]:
    return portal.call(partial(machine.call, tool, **arguments))


def _choose(page: Page, control: str, option: str) -> None:
    page.locator(f"{control} input").click()
    page.get_by_role("option", name=option).first.click()


def _code(block: Locator) -> str:
    return "\n".join(block.locator(".cm-line").all_inner_texts())


def test_a_task_is_planned_in_words_mended_and_started_once(
    operator: Page, machine: Machine, portal: BlockingPortal
) -> None:
    from playwright.sync_api import expect

    page = operator
    _open(page, "New task")
    start = page.locator("#start")
    expect(start).to_be_visible()

    page.locator("#goal textarea").fill("Recognise handwritten digits on 2 laptops")
    page.locator("#plan").click()
    expect(page.locator("#planned tbody tr").filter(has_text="cohort.size")).to_contain_text("2")
    expect(page.locator("#checked")).to_contain_text("Start makes the task")

    page.locator("#field-name input, #field-name textarea").first.fill(HOSTILE)
    page.get_by_role("button", name="Rounds and stopping").click()
    page.locator("#field-rounds input").fill("0")
    expect(page.locator("#problem-rounds")).to_contain_text("greater than or equal to 1")
    expect(start).to_be_hidden()
    page.locator("#field-rounds input").fill("2")
    expect(page.locator("#problem-rounds")).to_be_hidden()
    expect(start).to_be_visible()
    expect(page.locator("#checked")).to_contain_text("opens round 1 of 2")
    expect(page.locator("#checked")).to_contain_text(HOSTILE)

    page.get_by_role("button", name="Aggregation").click()
    _choose(page, "#field-aggregation-rule", "trimmed_mean")
    expect(page.get_by_label("Share of values dropped at each end (beta)", exact=True)).to_be_visible()
    _choose(page, "#field-aggregation-rule", "fedavg")

    page.get_by_role("button", name="The whole spec").click()
    expect(page.locator("#spec .cm-content")).to_contain_text("rounds: 2")
    page.get_by_label("JSON", exact=True).check()
    expect(page.locator("#spec .cm-content")).to_contain_text('"rounds": 2')
    spec = json.loads(_code(page.locator("#spec")))
    page.locator("#spec .cm-content").fill(json.dumps(spec | {"rounds": 3, "keep_rounds": -1}))
    expect(page.locator("#field-rounds input")).to_have_value("3")
    expect(page.locator("#listed")).to_contain_text("keep_rounds")
    page.locator("#spec .cm-content").fill(json.dumps(spec | {"rounds": 3, "cohort": {"size": 1}}))
    expect(page.locator("#checked")).to_contain_text("opens round 1 of 3")  # what was written last is what starts
    expect(start).to_be_visible()

    start.dblclick()
    expect(page.locator("#task-id")).to_be_visible()
    tasks = _call(portal, machine, "list_tasks")["tasks"]
    assert [task["name"] for task in tasks] == [HOSTILE]
    page.reload()
    page.locator("#sign-out").wait_for()  # the token is kept for the tab
    _open(page, "New task")
    expect(page.locator("#task-id")).to_have_text(tasks[0]["task_id"])
    expect(start).to_be_hidden()


def test_a_viewer_may_write_but_not_start_nor_invite(browser: Browser, machine: Machine) -> None:
    from playwright.sync_api import expect

    for page in _page(browser, machine, None):
        _open(page, "New task")
        expect(page.locator("#checked")).to_contain_text("you need an operator's token")
        expect(page.locator("#start")).to_be_hidden()
        expect(page.locator("#goal")).to_be_hidden()
        _open(page, "Simulate")
        expect(page.locator("#simulate-problems")).to_contain_text("operator")
        expect(page.locator("#run")).to_be_hidden()
        _open(page, "Join")
        expect(page.locator("#join-about")).not_to_be_empty()
        expect(page.locator("#make-invitation")).to_be_hidden()
        expect(page.locator("#make-token")).to_be_hidden()


def test_two_simulations_one_of_them_attacked_are_compared(operator: Page) -> None:
    from playwright.sync_api import expect

    page = operator
    _open(page, "Simulate")
    expect(page.locator("#cut-said")).to_contain_text("20 clients, each with")
    for field, value in (("rounds", "3"), ("epochs", "1")):
        page.locator(f"#sim-{field} input").fill(value)
    expect(page.locator("#run")).to_be_visible()
    page.locator("#run").click()
    rows = page.locator("#standings tbody tr")
    expect(rows).to_have_count(1)
    _choose(page, "#sim-rule", "krum: Krum")
    _choose(page, "#sim-attack", "Sign flip")
    expect(page.locator("#sim-f")).to_be_visible()
    page.locator("#run").click()
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="finished")).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("krum")
    expect(rows.nth(0)).to_contain_text("sign_flip, 20%")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download as CSV").click()
    lines = Path(downloading.value.path()).read_text().splitlines()
    assert lines[0].startswith("task_id,name,rule,partition,attack,round,accuracy,loss")
    assert len([line for line in lines if ",sign_flip" in line or "sign_flip," in line]) >= 3


def test_a_line_that_was_copied_brings_a_node_in(operator: Page, machine: Machine, portal: BlockingPortal) -> None:
    from playwright.sync_api import expect

    page = operator
    _open(page, "Join")
    expect(page.locator("#join-line")).to_contain_text("--token NODE_TOKEN")
    page.locator("#make-invitation").click()
    expect(page.locator("#invitation svg")).to_be_visible()
    expect(page.locator("#join-line")).to_contain_text("--token pl_")
    line = next(line for line in _code(page.locator("#join-line")).splitlines() if line.startswith("potluck join"))
    words = shlex.split(line)
    assert words[:3] == ["potluck", "join", machine.url]
    task_id = words[words.index("--task") + 1]
    machine.children.start("copied", [*words[1:], "--key", str(machine.folder / "copied.pem")], {})
    ended = portal.call(partial(machine.wait_for, task_id, lambda task: task["state"] == "finished", timeout=60))
    assert len(ended["nodes"]) == 1
    assert ended["version"] == 3

    page.locator("#make-token").click()
    expect(page.locator("#granted")).to_contain_text("viewer")
    page.get_by_role("button", name="Cursor").click()
    expect(page.locator("#host-cursor")).to_contain_text("Bearer pl_")
    told = json.loads(_code(page.locator("#host-cursor")))["mcpServers"]["potluck"]
    assert told["url"] == f"{machine.url}/mcp"
    secret = told["headers"]["Authorization"].removeprefix("Bearer ")
    assert secret != OPERATOR
    assert portal.call(partial(machine.as_caller(secret).call, "list_tasks"))["tasks"]
    page.locator("#revoke-token").click()
    expect(page.locator("#granted")).to_contain_text("revoked")
    expect(page.locator("#host-cursor")).to_contain_text("VIEWER_TOKEN")


def test_a_digit_that_is_drawn_is_answered_version_by_version(operator: Page) -> None:
    from playwright.sync_api import expect

    page = operator
    _open(page, "Try it")
    pad = page.locator("#drawing canvas")
    expect(pad).to_be_visible()
    box = pad.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.85, steps=8)
    page.mouse.up()
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text(re.compile(r"says version 3, \d+(\.\d)?\s% sure"))
    expect(page.locator('.plot[data-plot="try-versions"] .scatterlayer .trace')).not_to_have_count(0)
    page.locator("#drawing .clear").click()
    expect(verdict).to_be_hidden()


def test_a_model_of_other_inputs_is_not_offered_and_the_reason_is_said(
    operator: Page, machine: Machine, portal: BlockingPortal
) -> None:
    from playwright.sync_api import expect

    spec = {
        "name": "numbers of a farm",
        "model": {"id": "logistic"},
        "data": {"id": "own", "input_shape": [7], "num_classes": 3},
    }
    _call(portal, machine, "create_task", spec=spec, request_id=uuid.uuid4().hex, start=False)
    _open(operator, "Join")
    _open(operator, "Try it")
    expect(operator.locator("#try-said")).to_contain_text("numbers of a farm cannot be tried here")
