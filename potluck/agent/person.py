"""The person for whom the agent works: told everything, asked before anything is made, spent or stopped."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TextIO

from orchestrator.diagnosis.names import plain

LONGEST = 20_000
"""Characters of a question. What would be cut off is not to be asked for."""


class Unanswered(Exception):
    """A question that nobody is there to answer."""


async def _line() -> str:
    """A line from the terminal, without a thread that could not be called back; empty at its end.

    What was typed before the question is no answer to it.
    """
    import termios

    terminal, loop, ready = sys.stdin.fileno(), asyncio.get_running_loop(), asyncio.Event()
    termios.tcflush(terminal, termios.TCIFLUSH)
    loop.add_reader(terminal, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(terminal)
    return os.read(terminal, 4096).decode(errors="replace")


def _is_terminal(stream: TextIO | None) -> bool:
    """A stream that the parent process has closed is none."""
    return stream is not None and not stream.closed and stream.isatty()


class Person:
    """Tells and asks.

    Args:
        yes: every question is granted, and printed all the same.
        most_questions: beyond so many, a question is neither asked nor granted but unanswered.
        terminal: whether somebody can answer; None: whether the standard input is a terminal.
        line: reads an answer; replaced in tests.
        sees_secrets: whether what is printed goes to a person alone; None: whether it goes to a terminal.
    """

    def __init__(
        self,
        *,
        yes: bool = False,
        most_questions: int | None = None,
        terminal: bool | None = None,
        line: Callable[[], Awaitable[str]] = _line,
        sees_secrets: bool | None = None,
    ) -> None:
        self._yes = yes
        self._left = most_questions
        self._terminal = _is_terminal(sys.stdin) if terminal is None else terminal
        self._line = line
        self.sees_secrets = _is_terminal(sys.stdout) if sees_secrets is None else sees_secrets

    def say(self, text: str = "") -> None:
        """Prints lines as they are, but for what would steer a terminal."""
        print("\n".join("".join(c if c.isprintable() else " " for c in row) for row in text.split("\n")), flush=True)

    def does(self, what: str) -> None:
        """Says what is being done."""
        self.say(f"→ {what}")

    async def ask(self, question: str) -> bool:
        """Whether it may. Raises Unanswered, with the question, where nobody can say."""
        shown = plain(question, LONGEST)
        if self._left == 0 or not (self._yes or self._terminal):
            raise Unanswered(shown)
        if self._left is not None:
            self._left -= 1
        if self._yes:
            self.say(f"? {shown} yes (--yes)")
            return True
        print(f"? {shown} [y/N] ", end="", flush=True)
        answer = await self._line()
        if not answer:
            raise Unanswered(shown)
        return answer.strip().lower() in ("y", "yes")
