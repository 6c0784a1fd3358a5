"""Model versions: which updates made which, by what rule, how good they are, and where their bytes are."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from dashboard.markup import facts, heading, table
from dashboard.watch.naming import name_of
from dashboard.watch.reading import Picture, Record, versions
from dashboard.words import moment, number, percent, size

_COLUMNS = ("Version", "Round", "From", "Accuracy", "Loss", "Nodes’ accuracy", "Nodes’ loss", "SHA-256")
_MOST_NAMES = 40
_SCORES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "loss": "loss",
    "perplexity": "perplexity",
    "eval_accuracy": "nodes’ accuracy",
    "eval_loss": "nodes’ loss",
    "lora_error": "error of the adapters’ mean",
    "step_norm": "length of the step (L2)",
    "update_agreement": "agreement of the updates",
}


def lineage(seen: Picture) -> str:
    """The table of versions, newest first."""
    task = seen.task
    if task is None:
        return ""
    made = {each["version"]: each for each in task["rounds"] if each["version"] is not None}
    return table("Model versions", _COLUMNS, [_row(version, made.get(version), task) for version in versions(task)])


def choices(task: Record) -> list[tuple[str, int]]:
    """The versions as entries of a list."""
    best = (task["best"] or {}).get("version")
    marks = {task["version"]: "current", best: "best"}
    both = {task["version"]: "current, best"} if best == task["version"] else {}
    marks |= both
    return [(f"v{each} ({marks[each]})" if each in marks else f"v{each}", each) for each in versions(task)]


def _row(version: int, made: Record | None, task: Record) -> list[str]:
    label = next((label for label, value in choices(task) if value == version), f"v{version}")
    scores = made or (task["initial_scores"] if version == 0 else {})
    sha256 = (made or {}).get("sha256") or (task["model"]["sha256"] if version == task["version"] else "")
    return [
        escape(label),
        "–" if made is None else str(made["round"]),
        "–" if made is None else f"v{made['base_version']}",
        percent(scores.get("accuracy")),
        number(scores.get("loss")),
        percent(scores.get("node_accuracy", scores.get("eval_accuracy"))),
        number(scores.get("node_loss", scores.get("eval_loss"))),
        f"<code>{escape(str(sha256)[:12])}</code>" if sha256 else "–",
    ]


def detail(seen: Picture) -> str:
    """One version: what made it, and its bytes."""
    version = seen.version
    if version is None or seen.task is None:
        return ""
    parent = "none: it is the initial model" if version["parent"] is None else f"v{version['parent']}"
    names = [name_of(update["node_id"], seen) for update in version["made_of"]]
    made_of = ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
    told = {
        "Made": moment(version["created_at"]) + (f", in round {version['round']}" if version["round"] else ""),
        "From": parent,
        "By": version["rule"],
        "Updates": made_of or "none",
        "Scores": ", ".join(f"{name} {number(value)}" for name, value in _scores(version).items()) or "not measured",
        "Size": size(version["size"]),
        "SHA-256": version["sha256"],
    }
    file = "adapter_model" if seen.task.get("base") else "model"
    link = download(version["url"], f"{file}-v{int(version['version'])}.safetensors", f"Download v{version['version']}")
    return heading(f"Version {version['version']}", level=3) + facts(told) + link


def download(url: str, file: str, words: str) -> str:
    """A link to bytes. The server's URLs are relative to its base, as the page is; any other is not followed."""
    place = escape(url if url.startswith("raw/") else "", quote=True)
    return f'<p><a class="button" href="{place}" download="{escape(file)}">{escape(words)}</a></p>'


def _scores(version: Record) -> dict[str, float]:
    metrics = version["metrics"]
    return {words: metrics[name] for name, words in _SCORES.items() if name in metrics}
