"""A tab with the page, used as a person uses it; what its worker reports is kept for the test, too."""

from __future__ import annotations

from typing import Any, Self

from playwright.sync_api import BrowserContext, Page, Request, expect

_HEAR = """
    window.heard = [];
    window.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener('message', ({ data }) => heard.push(data));
      }
    };
"""
_ONCE = """
    ([type, least]) => new Promise((hears) => {
      const look = () => (heard.filter((one) => one.type === type).length >= least ? hears() : setTimeout(look, 20));
      look();
    })
"""


class Tab:
    """The page in one tab of a browser context."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.requests: list[tuple[str, str, str]] = []
        """Method, URL and body of all that the tab asked for."""
        self.page.on("request", lambda request: self.requests.append(_parts_of(request)))
        self.page.add_init_script(_HEAR)
        self.page.goto(url)

    def ready(self) -> Self:
        """Waits for the server's tasks and the engine."""
        expect(self.page.locator("#link")).to_have_text("Connected")
        expect(self.page.locator("#device")).to_contain_text("GFLOP/s")
        return self

    def choose(self, task_id: str) -> Self:
        self.page.locator(f'input[name=task][value="{task_id}"]').check()
        return self

    def train(self, task_id: str, name: str = "tab") -> Self:
        """Chooses the task and presses Train."""
        self.choose(task_id)
        self.page.get_by_label("Node name").fill(name)
        self.page.get_by_role("button", name="Train", exact=True).click()
        return self

    def is_in(self, phase: str) -> Self:
        """Waits until the page says that this is where the node stands."""
        expect(self.page.locator("#phase")).to_have_text(phase)
        return self

    def says(self, words: str) -> Self:
        """Waits for words in the messages above the panels."""
        expect(self.page.locator("#notices")).to_contain_text(words)
        return self

    def logs(self, words: str) -> Self:
        """Waits for words under "What happened"."""
        expect(self.page.locator("#log")).to_contain_text(words)
        return self

    def once(self, kind: str, times: int = 1) -> Self:
        """Waits until the worker has made so many reports of this kind."""
        self.page.evaluate(_ONCE, [kind, times])
        return self

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The worker's reports of this kind."""
        found: list[dict[str, Any]] = self.page.evaluate("kind => heard.filter((one) => one.type === kind)", kind)
        return found

    def calls(self, tool: str) -> list[str]:
        """The URLs to which the tab sent calls of this tool."""
        return [url for _, url, body in self.requests if f'"{tool}"' in body]

    def sent(self, text: str) -> bool:
        """Whether the tab has sent this text, in an address or a body."""
        return any(text in part for request in self.requests for part in request)

    @property
    def node_id(self) -> str:
        return str(self.heard("status")[-1]["status"]["nodeId"])


def _parts_of(request: Request) -> tuple[str, str, str]:
    return request.method, request.url, (request.post_data_buffer or b"").decode(errors="replace")
