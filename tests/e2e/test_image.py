"""What the image of the Space installs fits together; a sign-in at a Space is tested in the browser's tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from outside import missing

from tests.docs.pages import ROOT

pytestmark = pytest.mark.timeout(180)


def commands() -> list[str]:
    """The `pip install` lines of the image."""
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return re.findall(r"^RUN (?:\w+=\w+ )?(pip install .+)$", image, re.MULTILINE)


def test_what_the_image_installs_resolves_in_one_environment() -> None:
    """pip's own resolver, over everything that the image asks for, and nothing that is installed here already."""
    asked = " ".join(commands())
    torch, ours = re.findall(r'"(torch[^"]+)"', asked), re.findall(r'"\.\[([^"]+)\]"', asked)
    assert len(torch) == len(ours) == 1
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    ran = subprocess.run(
        [*command, *torch, f".[{ours[0]}]"],
        cwd=ROOT,
        env=os.environ | {"POTLUCK_WEB": "skip"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    if ran.returncode and "ResolutionImpossible" not in ran.stderr:
        missing(f"pip reaches no packages here: {ran.stderr[-500:]}")
    assert ran.returncode == 0, ran.stderr[-2000:]
    chosen = set(re.findall(r'"name": "([\w.-]+)"', ran.stdout))
    assert {"potluck-fl", "gradio", "mcp", "torch", "transformers", "google-genai", "Authlib"} <= chosen
