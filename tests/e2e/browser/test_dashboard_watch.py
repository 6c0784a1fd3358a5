"""The Federation tab in a real browser, over a federation that is at work."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from contrast import too_faint
from machine import OPERATOR
from playwright.sync_api import Browser, Page, expect
from tab_federation import TabFederation, federation

EVIL_TASK = "<img src=x onerror=alert(1)> [a](javascript:alert(2)) ${alert(3)} {{7*7}} <b>bold</b>"
EVIL_NODE = "<img src=x onerror=alert(4)>"
AXE = Path(__file__).parents[3] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RANGE = "document.querySelector('.plot[data-plot=accuracy]').layout.xaxis.range"
POINTS = "() => document.querySelector('.plot[data-plot=accuracy]')?.data?.[0]?.x.length ?? 0"


@dataclass(frozen=True)
class Looked:
    """A visitor's page, and what it did besides being looked at."""

    page: Page
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Watched:
    federation: TabFederation
    browser: Browser
    task_id: str

    @contextmanager
    def nodes_at_rest(self) -> Iterator[None]:
        """Nothing is trained meanwhile, so that pages have this machine's two cores for themselves."""
        nodes = [self.federation.machine.children.pid(name) for name in ("ada", EVIL_NODE)]
        for pid in nodes:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in nodes:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def page(self, *, url: str = "", scheme: str = "light", width: int = 1280, height: int = 900) -> Iterator[Looked]:
        """The dashboard as a visitor of its own sees it."""
        place = url or self.federation.machine.url
        size, motion = {"width": width, "height": height}, "reduce"
        with self.browser.new_context(color_scheme=scheme, viewport=size, reduced_motion=motion) as context:  # type: ignore[arg-type]
            looked = Looked(context.new_page())
            looked.page.on("request", lambda request: looked.requests.append(request.url))
            looked.page.on("pageerror", lambda error: looked.errors.append(str(error)))
            looked.page.on("dialog", lambda dialog: (looked.dialogs.append(dialog.message), dialog.dismiss()))
            looked.page.goto(place + "/")
            yield looked
            foreign = [each for each in looked.requests if not each.startswith((place, "data:", "blob:"))]
            assert foreign == []
            assert looked.dialogs == []
            assert looked.errors == []


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, portal: BlockingPortal, browser: Browser) -> Iterator[Watched]:
    """A long task on the digits, at work on two nodes, one of them with an evil name; the second test pauses it."""
    with federation(tmp_path_factory.mktemp("watched"), portal) as here:
        here.machine.start_server()
        two = {
            "data": {"id": "digits", "partition": {"kind": "iid", "parts": 2}},
            "cohort": {"size": 2, "min_nodes": 2},
        }
        task_id = here.create(name=EVIL_TASK[:80], rounds=2000, training={"epochs": 8, "learning_rate": 0.02}, **two)
        here.join("ada", task_id)
        here.join(EVIL_NODE, task_id)
        here.once(task_id, lambda task: task["round"] > 3)
        yield Watched(here, browser, task_id)


def sign_in(page: Page, token: str) -> None:
    page.locator("#token input").fill(token)
    page.get_by_role("button", name="Sign in").click()


def zoom_in(page: Page) -> None:
    """Drags over the middle of the chart of accuracies, as a person does."""
    area = page.locator(".plot[data-plot=accuracy] .nsewdrag")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, middle, steps=4)
    page.mouse.up()


def test_rounds_are_seen_as_they_happen_and_what_is_zoomed_into_stays(watched: Watched) -> None:
    with watched.page() as looked:
        page = looked.page
        page.wait_for_function(f"({POINTS})() > 2")
        before = page.evaluate(POINTS)
        page.wait_for_function(f"({POINTS})() > {before + 1} && {RANGE}[1] >= ({POINTS})() - 1")  # the axis grows, too
        before = page.evaluate(POINTS)
        zoom_in(page)
        zoomed = page.evaluate(RANGE)
        assert zoomed[1] - zoomed[0] < before
        page.evaluate("window.stays = true")
        page.wait_for_function(f"({POINTS})() > {before + 2}")
        assert page.evaluate("window.stays"), "the page has not been loaded anew"
        assert page.evaluate(RANGE) == zoomed
        expect(page.locator("#nodes")).to_contain_text("2 online")
        expect(page.locator("#round")).to_contain_text("in progress")
        expect(page.locator("#contributions table")).to_contain_text("counted")
        expect(page.locator("#theming")).to_be_visible()


def test_an_operator_steers_after_a_yes_while_a_viewer_watches_and_may_not(watched: Watched) -> None:
    with ExitStack() as pages:
        with watched.nodes_at_rest():
            viewer, operator = pages.enter_context(watched.page()), pages.enter_context(watched.page())
            sign_in(operator.page, OPERATOR)
            expect(operator.page.locator("#who .chip")).to_have_text("operator")
            expect(viewer.page.locator("#who .chip")).to_have_text("viewer")
            operator.page.get_by_role("button", name="Pause…").click()
            expect(operator.page.locator("#question")).to_contain_text("The round in progress ends as usual")
            operator.page.get_by_role("button", name="No, leave it").click()
            expect(operator.page.locator("#question")).to_be_hidden()
            assert watched.federation.call("get_task", task_id=watched.task_id)["state"] == "running"
            operator.page.get_by_role("button", name="Pause…").click()
            operator.page.get_by_role("button", name="Yes, do it").click()
            expect(viewer.page.locator("#glance .heading")).to_contain_text("paused")
        at_work = ("collecting", "aggregating")
        paused = watched.federation.once(watched.task_id, lambda task: task["rounds"][-1]["state"] not in at_work)
        expect(viewer.page.locator("#round")).to_contain_text("It is paused")
        expect(viewer.page.locator("#glance")).to_contain_text(f"v{paused['version']}")

        expect(operator.page.locator("#glance dd").nth(1)).to_have_text(f"v{paused['version']}")  # by its own reading
        operator.page.locator("#which-version input").click()
        operator.page.get_by_role("option", name=f"v{paused['version'] - 2}", exact=True).click()
        operator.page.get_by_role("button", name="Roll back to this version…").click()
        expect(operator.page.locator("#rolling")).to_contain_text(f"Make v{paused['version'] - 2} the current model")
        operator.page.locator("#rolling").get_by_role("button", name="Yes, do it").click()
        expect(viewer.page.locator("#glance dd").nth(1)).to_have_text(f"v{paused['version'] - 2}")
        assert watched.federation.call("get_task", task_id=watched.task_id)["version"] == paused["version"] - 2

        with operator.page.expect_download() as saved:
            operator.page.get_by_role("link", name="Download v").click()
        assert saved.value.path().stat().st_size == paused["model"]["size"]
        assert viewer.page.locator("[id^=lever-]:visible, #take-away:visible").count() == 0
        operator.page.get_by_role("button", name="Sign out").click()
        expect(operator.page.locator("#who .chip")).to_have_text("viewer")
        expect(operator.page.locator("[id^=lever-]:visible")).to_have_count(0)


def test_evil_names_are_text_wherever_they_stand(watched: Watched) -> None:
    with watched.page() as looked:
        expect(looked.page.locator("#glance h2")).to_have_text(EVIL_TASK[:80])
        expect(looked.page.locator("#tasks label").first).to_contain_text("<img src=x onerror=alert(1)>")
        expect(looked.page.locator("#nodes")).to_contain_text(EVIL_NODE)
        expect(looked.page.locator("#contributions tbody span[title]", has_text="<img src=x")).to_have_attribute(
            "title", EVIL_NODE
        )
        looked.page.wait_for_function("document.querySelector('.plot[data-plot=weights]')?.data")
        expect(looked.page.locator(".plot[data-plot=weights]")).to_contain_text("<img src=x")
        assert looked.page.locator("gradio-app img[src='x'], gradio-app a[href^='javascript']").count() == 0


def test_it_can_be_read_in_both_themes_by_machines_too_and_on_a_phone(watched: Watched, packages: object) -> None:
    with watched.page(height=2600) as looked:
        page = looked.page
        page.wait_for_function(f"({POINTS})() > 2")
        watched.federation.call(
            "control_task", task_id=watched.task_id, action="pause"
        )  # nothing moves while it is seen
        expect(page.locator("#round")).to_contain_text("It is paused")
        expect(page.locator("#version dl")).to_be_visible()
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.wait_for_function(f"document.body.classList.contains('dark') === {json.dumps(scheme == 'dark')}")
            count, faint = too_faint(page)
            assert count > 80
            assert faint == []
        assert barriers(page) == []
        page.set_viewport_size({"width": 360, "height": 740})
        page.wait_for_function("document.querySelector('.plot[data-plot=accuracy]').clientWidth < 360")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        wide = page.evaluate(
            "[...document.querySelectorAll('.glass, .plot, .card, .scroll')]"
            ".filter((one) => one.getBoundingClientRect().right > 361).map((one) => one.outerHTML.slice(0, 80))"
        )
        assert wide == []


def barriers(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds serious or critical. Contrast it cannot see on glass: `too_faint` does."""
    found = page.evaluate("axe.run(document, { rules: { 'color-contrast': { enabled: false } } })")
    assert len(found["passes"]) > 20
    bad = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in bad]


def test_a_chart_is_taken_away_as_numbers_and_as_a_picture(watched: Watched) -> None:
    with watched.page() as looked:
        looked.page.wait_for_function("document.querySelector('.plot[data-plot=memory]')?.data")
        chart = looked.page.locator(".chart", has=looked.page.locator("[data-plot=memory]"))
        with looked.page.expect_download() as saved:
            chart.get_by_role("button", name="CSV").click()
        lines = saved.value.path().read_text().splitlines()
        assert lines[0] == '"series","Round","value"'
        assert any(re.fullmatch(r'"ada",\d+,\d+(\.\d+)?', line) for line in lines)
        with looked.page.expect_download() as saved:
            chart.get_by_role("button", name="SVG").click()
        assert saved.value.suggested_filename == "potluck-memory.svg"
        assert "<svg" in saved.value.path().read_text()


def test_a_wrong_token_is_refused_in_words_and_a_right_one_outlasts_a_reload(watched: Watched) -> None:
    with watched.page() as looked:
        sign_in(looked.page, "pl_wrong")
        expect(looked.page.locator("#entrance-trouble")).to_contain_text("This token is wrong, revoked or expired")
        expect(looked.page.locator("#who .chip")).to_have_text("viewer")  # as without it
        sign_in(looked.page, OPERATOR)
        expect(looked.page.locator("#who .chip")).to_have_text("operator")
        assert OPERATOR not in json.dumps(looked.page.evaluate("({ ...localStorage })"))
        looked.page.reload()
        expect(looked.page.locator("#who .chip")).to_have_text("operator")
        looked.page.get_by_role("button", name="Sign out").click()
        expect(looked.page.locator("#who .chip")).to_have_text("viewer")
        assert looked.page.evaluate("sessionStorage.getItem('token')") is None


def test_a_server_that_shows_strangers_nothing_shows_them_nothing(
    watched: Watched, tmp_path: Path, portal: BlockingPortal
) -> None:
    with federation(tmp_path, portal) as closed:
        closed.machine.start_server("--anonymous-role", "none")
        with watched.page(url=closed.machine.url) as looked:
            expect(looked.page.locator("#who")).to_contain_text("This server shows nothing to strangers")
            expect(looked.page.locator("#task-list")).to_contain_text("Nothing to see without a token")
            sign_in(looked.page, OPERATOR)
            expect(looked.page.locator("#task-list")).to_contain_text("No task yet")
