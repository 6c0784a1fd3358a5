"""A summary of a training as a page shows it."""

from __future__ import annotations

from typing import Any

from dashboard.watch.report import inline, markdown, summarized
from orchestrator.summary.summary import summarize
from tests.dashboard.scenes import HOSTILE

DRIFT = {
    "kind": "client_drift",
    "severity": "warning",
    "text": "`ada` points elsewhere: its cosine is -0.2.",
    "mend": "fewer epochs",
}
GOOD = {"kind": "converging", "severity": "good", "text": "Converging: the loss falls.", "mend": ""}
TEXT = f"""## `Digits`

A federation of `mlp`.
It is finished.

### How it goes

- {GOOD["text"]}

### What needs a hand

- {DRIFT["text"]} *Mend:* {DRIFT["mend"]}.
"""


def _summary(**changes: Any) -> dict[str, Any]:
    return {"text": TEXT, "writer": "rules", "claims": [], "findings": [DRIFT, GOOD]} | changes


def test_headings_paragraphs_and_lists_are_what_they_are_in_the_markdown() -> None:
    shown = markdown(TEXT)
    assert "<h3><code><bdi>Digits</bdi></code></h3>" in shown
    assert "<p>A federation of <code><bdi>mlp</bdi></code>. It is finished.</p>" in shown
    assert "<h4>How it goes</h4><ul><li>Converging" in shown
    assert not {"#", "*", "`"} & set(shown)


def test_each_finding_stands_there_once_with_its_severity_and_its_mend_in_words() -> None:
    shown = summarized(_summary())
    assert shown.count("points elsewhere") == 1
    assert 'data-tone="wait"><bdi>warning</bdi></span> <code><bdi>ada</bdi></code> points elsewhere' in shown
    assert "<b>Mend:</b> fewer epochs." in shown
    assert "client_drift" not in shown


def test_findings_that_a_model_told_in_other_words_are_kept_beside_its_text() -> None:
    shown = summarized(_summary(text="All is well with `ada`.", writer="gemini", notes=["asked twice"]))
    folded = shown.partition("The findings behind it")[2]
    assert "points elsewhere" in folded
    assert "Converging" in folded
    assert "Written by gemini. asked twice" in shown


def test_the_summary_by_rules_leaves_no_mark_of_markdown_on_the_page() -> None:
    view: dict[str, Any] = {
        "task_id": "task-a", "name": "Digits **`x`", "state": "created", "version": 0, "num_rounds": 3, "round": 0,
        "rounds": [], "nodes": [], "initial_scores": {}, "reason": "", "simulation": None, "best": None,
        "spec": {"model": {"id": "mlp"}, "data": {"id": "digits"}, "aggregation": {"rule": "fedavg"},
                 "cohort": {"min_nodes": 1, "size": 1}},
    }  # fmt: skip
    summary = summarize(view, [], []).as_dict()
    shown = summarized(summary)
    assert "<h3><code><bdi>Digits" in shown
    assert "*Mend:*" not in shown
    assert "`" not in shown
    assert "The findings behind it" not in shown
    assert "</code>" in shown.partition("What each claim rests on")[0]


def test_a_strangers_text_stays_text_in_a_code_span_and_outside() -> None:
    for shown in (
        inline(f"`{HOSTILE}` {HOSTILE}"),
        markdown(f"# {HOSTILE}\n\n- {HOSTILE} *Mend:* {HOSTILE}\n\n{HOSTILE}"),
        summarized(
            _summary(
                findings=[{"severity": HOSTILE, "text": HOSTILE, "mend": HOSTILE}],
                claims=[{"claim": HOSTILE, "metric": HOSTILE, "value": HOSTILE, "where": HOSTILE}],
                notes=[HOSTILE],
            )
        ),
    ):
        assert "<img" not in shown
        assert "&lt;img" in shown
        assert "<a" not in shown
        assert "\u202e" not in shown
