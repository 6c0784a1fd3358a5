"""Links lead somewhere, and the front page keeps its promises."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.pages import ROOT, anchors, blocks, headings, page, page_paths, prose

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("path", page_paths())
def test_relative_links_lead_to_a_file_and_a_heading(path: str) -> None:
    for target in _LINK.findall(prose(page(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / path).parent / name if name else ROOT / path
        assert file.exists(), f"{path} links to {target}"
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{path} links to {target}"


@pytest.mark.parametrize("path", page_paths())
def test_a_page_has_one_title_and_closes_its_fences(path: str) -> None:
    assert len(headings(page(path), 1)) == 1
    assert "```" not in prose(page(path))


def test_the_front_page_starts_with_the_two_commands_and_the_note_on_torch_before_them() -> None:
    readme = page("README.md")
    commands = readme.index("make demo     #")
    assert readme.index("https://download.pytorch.org/whl/cpu") < commands < readme.index("make test     #")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_front_page_installs_a_torch_that_the_project_accepts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    bound = next(each.rpartition(",")[2] for each in project["project"]["dependencies"] if each.startswith("torch"))
    assert f'pip install "torch{bound}" --index-url' in page("README.md")


def test_the_front_page_maps_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"| `{package}/` |" in page("README.md")


def test_the_front_page_shows_code_that_a_tutorial_runs() -> None:
    ours = [block.code for block in blocks(page("README.md")) if block.language == "python"]
    run = [block.code for block in blocks(page("docs/tutorials/node_as_library.md")) if block.language == "python"]
    assert ours
    assert set(ours) <= set(run)


def test_the_front_page_shows_the_table_that_the_demo_prints() -> None:
    from potluck.live_table import HEADINGS

    assert " ".join(HEADINGS) in re.sub(r" +", " ", page("README.md"))


@pytest.mark.parametrize("path", page_paths())
def test_names_of_files_in_the_checkout_are_right(path: str) -> None:
    """A path in back-ticks that begins with one of our packages is there."""
    pattern = r"`((?:potluck|edge_client|mcp_server|tools|resources|federation|docs|tests)/[\w/]*(?:/|\.\w+))`"
    for name in re.findall(pattern, prose(page(path))):
        assert (ROOT / name).exists(), f"{path} names {name}"
