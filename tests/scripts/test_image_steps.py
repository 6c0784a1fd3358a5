"""The Dockerfile as a list of steps, and what is copied into the image."""

from __future__ import annotations

import tomllib
from pathlib import Path

from scripts.image import Step, copied, only, steps
from tests.docs.pages import ROOT


def test_lines_that_go_on_are_one_step_and_comments_are_none() -> None:
    assert steps("# a\nFROM x\nENV A=1 \\\n    B=2\n\nRUN y") == [
        Step("FROM", "x"),
        Step("ENV", "A=1 B=2"),
        Step("RUN", "y"),
    ]


def test_the_image_carries_what_it_runs_and_no_tests(tmp_path: Path) -> None:
    copied(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"space_app.py", "pyproject.toml", "README.md", "LICENSE", "hatch_build.py", "web", "dashboard"} <= names
    assert not names & {"tests", "benchmarks", ".git"}


def test_the_image_carries_every_package_that_the_wheel_does(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= set(
        project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    )


def test_pip_takes_torch_from_the_index_before_the_rest() -> None:
    found = steps((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    torch, ours = (step.text for step in found if step.word == "RUN" and "pip install" in step.text)
    assert "torch" in torch
    assert "--index-url $TORCH_INDEX" in torch
    assert ".[space,llm,gemini]" in ours
    assert only(found, "HEALTHCHECK").startswith("CMD ")
