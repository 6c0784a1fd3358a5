"""The page in every state in which it can be, before any server: accessible, legible, on a phone, by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from contrast import too_faint
from page_scenes import WEB
from playwright.sync_api import Browser, Page, expect

# Whether the middle of what has the focus is not hidden, by what sticks to the top say.
_IN_SIGHT = """() => {
  const { x, y, width, height } = document.activeElement.getBoundingClientRect();
  const seen = document.elementFromPoint(x + width / 2, y + height / 2);
  return document.activeElement === document.body || document.activeElement.matches('input[type=radio]')
    || document.activeElement.contains(seen);
}"""
WINDOW: Any = {"width": 1280, "height": 3000}
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

# Each scene of web/tests/page/scenes.ts, the button that brings it about, and words that it must show.
SCENES = {
    "loading": (None, "Asking the server for its tasks"),
    "idle": (None, "This device qualifies."),
    "empty": (None, "This server has no tasks yet."),
    "no-server": (None, "The server is away; trying again"),
    "cpu": (None, "Training runs on the CPU"),
    "unauthorized": (None, "This server wants an invitation"),
    "training": ("Train", "Sent 39 kB of updates in 2 rounds since this page was opened: how the 4,810 weights moved"),
    "waiting": ("Train", "Waiting for two more nodes"),
    "first": ("Train", "Nothing has been scored yet."),
    "finished": ("Train", "The task is over"),
    "refused": ("Train", "Tensor delta/fc1.weight has a norm of 93.1"),
    "away": ("Train", "The server has not answered for 12 s"),
    "elsewhere": (None, "Another tab of this browser is the node"),
    "quota": ("Train", "No room left in this browser"),
    "device-lost": ("Train", "The graphics device was lost"),
    "bad-data": (None, "train.csv, row 17 has 63 values"),
    "rehearsing": ("Rehearse", "Labels of 6 nodes"),
}


@pytest.mark.parametrize("scene", SCENES)
def test_no_state_of_the_page_is_inaccessible_illegible_or_too_wide_for_a_phone(
    browser: Browser, scenes: str, scene: str
) -> None:
    complaints: list[str] = []
    with browser.new_page(color_scheme="light", reduced_motion="reduce", viewport=WINDOW, has_touch=True) as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{scenes}/{scene}/edge/")
        page.keyboard.press("Shift")  # somebody is there, so the digits sample is examined
        press, words = SCENES[scene]
        if press is not None:
            page.get_by_role("button", name=press, exact=True).click()
        expect(page.get_by_text(words).filter(visible=True).first).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        page.evaluate(AXE.read_text())  # by the debugger, which the page's policy does not bind
        assert inaccessible(page) == []
        assert illegible(page) == []
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        assert inaccessible(page) == []
        assert illegible(page) == []
        page.set_viewport_size({"width": 360, "height": 740})
        for source in ("My files", "Draw", "Digits sample"):
            page.get_by_text(source, exact=True).click()
            assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert complaints == [], "its policy's violations are among them"


def inaccessible(page: Page) -> list[tuple[str, list[str]]]:
    """What axe-core finds serious or critical."""
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert len(found["passes"]) > 20
    bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in bad]


def illegible(page: Page) -> list[str]:
    texts, faint = too_faint(page)
    assert texts > 30
    return faint


def test_the_keyboard_alone_chooses_draws_trains_pauses_and_leaves(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "training") as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the tasks")).to_be_focused()
        tab_to(page, "input[name=task]")
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("radio", name="MNIST by convolution")).to_be_checked()
        tab_to(page, "input[name=source]")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        tab_to(page, "#pad")
        for key in ("7", " ", *["ArrowRight"] * 6, *["ArrowDown"] * 8, " ", "Enter"):
            page.keyboard.press(key)
        expect(page.get_by_role("img", name="A drawing of 7")).to_be_visible()
        for press, phase in (("Train", "Training"), ("Pause", "Paused"), ("Resume", "Training"), ("Leave", "Left")):
            tab_to(page, f"button#{press.lower()}")
            page.keyboard.press("Enter")
            expect(page.locator("#phase")).to_have_text(phase)
        tab_to(page, "#clear")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Keep", exact=True).last).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()


def test_storage_is_cleared_only_after_a_yes(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "idle") as page:
        page.get_by_role("button", name="Clear storage").click()
        page.get_by_role("dialog").get_by_role("button", name="Keep").click()
        page.get_by_role("button", name="Clear storage").click()
        page.get_by_role("dialog").get_by_role("button", name="Clear").click()
        page.wait_for_function("heard.some((command) => command.type === 'clear_storage')")
        assert [one["type"] for one in page.evaluate("heard")].count("clear_storage") == 1


def test_the_identity_is_forgotten_only_after_a_yes(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "idle") as page:
        for answer in ("Keep", "Forget"):
            page.get_by_role("button", name="Forget this browser’s identity").click()
            expect(page.get_by_role("dialog")).to_contain_text("takes part as a new node")
            page.get_by_role("dialog").get_by_role("button", name=answer).click()
        page.wait_for_function("heard.some((command) => command.type === 'forget')")
        assert [one["type"] for one in page.evaluate("heard")].count("forget") == 1
        assert "clear_storage" not in [one["type"] for one in page.evaluate("heard")]


def test_an_invitation_leaves_the_address_and_reaches_the_worker_with_the_options(
    browser: Browser, scenes: str
) -> None:
    with listening(browser, scenes, "idle", "?transport=sse&engine=cpu#invite=to%2Bken") as page:
        page.wait_for_function("heard.length > 0")
        assert page.url == f"{scenes}/any/prefix/idle/edge/?transport=sse&engine=cpu"
        first = {"type": "open", "base": f"{scenes}/any/prefix/idle/", "transport": "sse", "token": "to+ken"}
        assert page.evaluate("heard[0]") == {**first, "force": "cpu"}
        page.get_by_text("I have an invitation").click()
        page.get_by_label("Link or token").fill("https://elsewhere/edge/#invite=other")
        page.get_by_role("button", name="Use it").click()
        page.wait_for_function("heard.some((command) => command.token === 'other')")


def test_files_go_to_the_worker_with_their_paths_and_bad_ones_are_answered_beside_the_zone(
    browser: Browser, scenes: str
) -> None:
    with listening(browser, scenes, "bad-data") as page:
        page.get_by_text("My files", exact=True).click()
        page.locator("#files").set_input_files(
            {"name": "train.csv", "mimeType": "text/csv", "buffer": b"label,a\n1,2\n"}
        )
        page.wait_for_function("heard.some((command) => command.source?.kind === 'files')")
        assert page.evaluate("heard.at(-1).source.files.map((one) => one.path)") == ["train.csv"]
        expect(page.locator("#data-trouble")).to_contain_text("row 17 has 63 values")
        expect(page.locator("#notices")).to_be_empty()


def test_a_drawing_becomes_an_example_of_the_tasks_size(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "idle") as page:
        page.get_by_role("radio", name="MNIST by convolution").check()
        page.get_by_text("Draw", exact=True).click()
        pad = page.locator("#pad")
        pad.drag_to(pad, source_position={"x": 60, "y": 40}, target_position={"x": 110, "y": 200})
        page.get_by_text("4", exact=True).click()
        page.get_by_role("button", name="Keep").click()
        page.wait_for_function("heard.some((command) => command.source?.kind === 'drawn')")
        drawn = page.evaluate(
            "(({ x, y, shape }) => ({ size: x.length, most: Math.max(...x), y: [...y], shape }))(heard.at(-1).source)"
        )
        assert drawn == {"size": 784, "most": 1, "y": [4], "shape": [1, 28, 28]}
        page.get_by_role("button", name="Undo kept").click()
        expect(page.locator("#hint")).to_have_text("Bring some examples first: pick files, or draw and keep a few.")


def test_a_page_that_is_not_secure_says_what_to_do(browser: Browser, scenes: str) -> None:
    page = browser.new_page()
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.goto(f"{scenes}/idle/edge/")
    expect(page.locator("#notices")).to_contain_text("open this page by https://")
    page.close()


def test_only_an_answer_of_the_server_counts_as_a_connection(browser: Browser, scenes: str) -> None:
    with browser.new_page() as page:
        page.goto(f"{scenes}/unanswered/edge/")
        expect(page.get_by_text("Going on where it was.")).to_be_visible()
        expect(page.locator("#link")).to_have_text("Away, retrying")
        expect(page.locator("#notices")).to_contain_text("The server is away")


def test_a_message_is_in_sight_when_it_comes_wherever_a_phone_has_scrolled_to(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "quota") as page:
        page.emulate_media(reduced_motion="reduce")
        page.set_viewport_size({"width": 360, "height": 740})
        page.get_by_role("button", name="Train", exact=True).click()
        expect(page.locator("#notices [role=alert]")).to_be_in_viewport(ratio=0.9)
        assert page.evaluate("scrollY") > 740
        for _ in range(60):  # and it hides nothing that has the focus
            page.keyboard.press("Tab")
            assert page.evaluate(_IN_SIGHT), page.evaluate("document.activeElement.outerHTML")


def test_what_was_sent_is_told_of_the_task_at_work_whichever_is_chosen(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "training") as page:
        page.get_by_role("button", name="Train", exact=True).click()
        page.get_by_role("radio", name="MNIST by convolution").check()
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#phase")).to_have_text("Paused")
        expect(page.locator("#sent")).to_contain_text("the 4,810 weights moved")


def test_very_many_classes_are_shown_as_the_largest_of_them(browser: Browser, scenes: str) -> None:
    with listening(browser, scenes, "classes") as page:
        page.keyboard.press("Shift")
        expect(page.locator("#examined")).to_contain_text("200,000 examples in 200,000 classes.")
        assert page.locator("#examined .histogram span").count() == 40
        assert page.locator("#examined tbody tr").count() == 40


@contextmanager
def listening(browser: Browser, address: str, scene: str, rest: str = "") -> Iterator[Page]:
    """The page under a prefix; `heard` collects the commands that its worker was given."""
    page = browser.new_page()
    page.add_init_script("""
        window.heard = [];
        const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (command) { heard.push(command); post.call(this, command); };
    """)
    try:
        page.goto(f"{address}/any/prefix/{scene}/edge/{rest}")
        expect(page.locator("#link")).to_have_text("Connected")
        yield page
    finally:
        page.close()


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until the element has the focus; the whole page is at most 80 stops long."""
    for _ in range(80):
        if page.evaluate("selector => document.activeElement?.matches(selector) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")
