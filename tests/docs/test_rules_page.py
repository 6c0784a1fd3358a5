"""docs/rules.md says of every method what the code does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from federation.aggregation.compatibility import MIXINGS, MODEL_KINDS, cells, refusals
from federation.aggregation.methods import METHODS, Method
from tests.docs.pages import blocks, headings, page, section, table

RULES = page("docs/rules.md")
EACH_METHOD = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)


def test_every_method_has_a_section_and_every_section_a_method() -> None:
    assert headings(section(RULES, "Methods"), 3) == list(METHODS)


@EACH_METHOD
def test_a_method_names_its_paper_and_its_formula(method: Method) -> None:
    text = section(RULES, method.name)
    assert f"{method.title}: {method.paper}." in re.sub(r"\s+", " ", text)
    assert blocks(text)[0].code.strip()


@EACH_METHOD
def test_a_method_lists_its_options_with_defaults_and_bounds(method: Method) -> None:
    documented = table(section(RULES, method.name), "option")
    assert documented.keys() == method.options.model_fields.keys()
    for name, field in method.options.model_fields.items():
        default, bounds, meaning = documented[name]
        assert default == ("–" if field.default is None else f"`{field.default:g}`"), name
        assert bounds == ", ".join(_bounds(field.metadata)), name
        assert meaning == field.description, name


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_matrix_on_the_page_is_that_of_the_code(kind: str) -> None:
    documented = table(section(RULES, f"Models of the kind `{kind}`"), "rule")
    expected = {}
    for name, method in METHODS.items():
        allowed = [cell for cell in cells() if (cell.rule, cell.model) == (name, kind) and not refusals(cell)]
        if not allowed:
            continue
        row = [", ".join(cell.weighting for cell in allowed if cell.mixing == mixing) or "–" for mixing in MIXINGS]
        resists = method.resists
        expected[name] = ["–" if resists is None else f"f of n ≥ {resists[0]}f + {resists[1]}", *row]
    assert documented == expected


def _bounds(metadata: list[Any]) -> list[str]:
    signs = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
    return [f"{sign} {getattr(each, key):g}" for key, sign in signs for each in metadata if hasattr(each, key)]
