"""Rounds, local training, time and goals: recipes that were measured, changed where something was said."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.reading.wishes import Wishes


@dataclass(frozen=True)
class Recipe:
    """Values that go together, and where they come from."""

    rounds: int
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    why: str


_DEMO = "the recipe of `potluck demo`: 0.969, 0.967 and 0.981 on digits after 5 rounds (docs/benchmarks.md)"
_MNIST = "as with MNIST and mnist_cnn: 0.937 and 0.985 after 1 and 2 rounds of 5 nodes (docs/benchmarks.md)"
_CIFAR = (
    "the heterogeneity study's (docs/benchmarks.md): 46.8 % at best in 12 rounds of 4 of 10 clients; these are more"
)
_RECIPES = {
    "digits": Recipe(10, 5, 10, 0.1, 0.9, _DEMO),
    "mnist_cnn": Recipe(10, 1, 32, 0.05, 0.9, _MNIST),
    "mcmahan_cnn": Recipe(
        50, 1, 10, 0.1, 0.0, "McMahan et al. 2017: 99 % on IID MNIST in 53 rounds here (docs/benchmarks.md)"
    ),
    "mcmahan_2nn": Recipe(
        60, 1, 10, 0.1, 0.0, "McMahan et al. 2017: 97 % on IID MNIST in 61 rounds here (docs/benchmarks.md)"
    ),
    "logistic": Recipe(
        50, 1, 10, 0.03, 0.0, "FLUTE's row of logistic regression: 0.876 after 100 rounds (docs/benchmarks.md)"
    ),
    "mlp": Recipe(
        20, 1, 32, 0.05, 0.9, "a cautious rate for a small network; no study here has measured it on these data"
    ),
    "cifar10_cnn": Recipe(30, 1, 32, 0.05, 0.0, _CIFAR),
}
_ADAPTERS = "the lora study's (docs/benchmarks.md): 3 rounds of 20 Adam steps at 1e-3 took the loss from 5.01 to 4.33"
_SMALL_BATCH = 8
_NO_WHOLE = "a task has no deadline of the whole, only one of each round"


def choose_training(draft: Draft, wishes: Wishes) -> None:
    """`rounds`, `training`, `stopping`, `evaluation` and the deadline."""
    if draft.pretrained:
        _choose_adapter_training(draft, wishes)
    else:
        _choose_recipe(draft, wishes)
    draft.take(wishes, "training.weight_decay", "training.max_steps", "training.accumulation")
    draft.take(wishes, "training.gradient_checkpointing", "seed")
    apply_changes(draft, wishes)
    choose_ending(draft, wishes)
    choose_deadline(draft, wishes)


def _choose_recipe(draft: Draft, wishes: Wishes) -> None:
    model, data = str(draft.get("model.id")), draft.get("data.id")
    recipe = _RECIPES["digits"] if data == "digits" and model == "mlp" else _RECIPES.get(model, _RECIPES["mlp"])
    rounds, why = recipe.rounds, recipe.why
    if wishes.skew == "much":
        rounds, why = 2 * rounds, f"{why}; twice the rounds, since shares are very unlike"
    if "stopping.target_accuracy" in wishes.stated:
        rounds, why = 3 * rounds, "a bound: the target ends it before that, if it is reached"
    draft.choose(wishes, "rounds", rounds, why)
    epochs, said = recipe.epochs, recipe.why
    if wishes.skew == "much" and epochs > 1:
        epochs, said = 2, "few local epochs: the more unlike the shares, the further nodes drift (arXiv:1910.06378)"
    draft.choose(wishes, "training.epochs", epochs, said)
    draft.choose(wishes, "training.batch_size", recipe.batch_size, recipe.why)
    optimizer = wishes.value("training.optimizer")
    rate, named = recipe.learning_rate, recipe.why
    if optimizer == "adam":
        rate, named = 1e-3, "Adam's usual rate (Kingma & Ba 2015)"
    draft.take(wishes, "training.optimizer")
    draft.choose(wishes, "training.learning_rate", rate, named)
    plain = optimizer == "adam" or draft.get("aggregation.rule") in ("scaffold", "fednova")
    if "training.momentum" in wishes.stated or (recipe.momentum and not plain):
        draft.choose(wishes, "training.momentum", recipe.momentum, recipe.why)


def _choose_adapter_training(draft: Draft, wishes: Wishes) -> None:
    draft.choose(wishes, "rounds", 5, _ADAPTERS)
    draft.choose(wishes, "training.optimizer", "adam", "factors that begin at zero hardly move under SGD")
    rate = 1e-3 if draft.get("training.optimizer") == "adam" else 0.05
    draft.choose(wishes, "training.learning_rate", rate, _ADAPTERS)
    draft.choose(
        wishes, "training.batch_size", _SMALL_BATCH, "few sequences at a time: activations of language models are large"
    )
    if "training.epochs" not in wishes.stated:
        draft.choose(wishes, "training.max_steps", 20, _ADAPTERS)
    draft.take(wishes, "training.epochs", "training.momentum")
    if draft.get("data.id") != "own":
        draft.put(
            "data.text.max_length", wishes.value("data.text.max_length", 64), "the lora study's length of an example"
        )


def choose_ending(draft: Draft, wishes: Wishes) -> None:
    """Goals and scoring."""
    writes = draft.pretrained and draft.get("model.task") != "sequence_classification"
    if "stopping.target_accuracy" in wishes.stated and writes:
        said = wishes.stated.pop("stopping.target_accuracy").words
        draft.notes.append(f"“{said}”: a model that writes has a loss and no accuracy; patience would end it instead.")
    draft.take(wishes, "stopping.target_accuracy", "evaluation.server")
    if "stopping.patience" in wishes.stated:
        named = wishes.stated["stopping.patience"]
        draft.put("stopping.patience", named.value, named.why)
    draft.take(wishes, "evaluation.every")


def choose_deadline(draft: Draft, wishes: Wishes) -> None:
    """How long a round may take; of a bound on everything, each round's part."""
    if "deadline_s" in wishes.stated:
        draft.take(wishes, "deadline_s")
        if wishes.total_s is not None:
            draft.notes.append(f"“{wishes.total_s.words}”: {_NO_WHOLE}; rounds × deadline_s bounds it.")
    elif wishes.total_s is not None:
        rounds = max(1, int(draft.get("rounds", 5)))
        seconds = max(1, int(wishes.total_s.value / rounds))
        draft.put("deadline_s", seconds, f"{wishes.total_s.why}: so many seconds for each of {rounds} rounds")
        draft.notes.append(f"“{wishes.total_s.words}”: {_NO_WHOLE}; each of {rounds} rounds gets {seconds} s of it.")
    elif not draft.get("deadline_s"):
        if draft.pretrained:
            draft.put("deadline_s", 1800, "a step of a language model takes 0.5 s and more on a CPU")
        elif wishes.crowd == "phones":
            draft.put("deadline_s", 300, f"{wishes.crowd_word} that went to sleep are not waited for longer")


def apply_changes(draft: Draft, wishes: Wishes) -> None:
    """Double, half, more, less, ten more, of what the draft has."""
    for path in (*wishes.changes, *(path for path in wishes.additions if path not in wishes.changes)):
        if path in wishes.stated:
            continue
        old = draft.get(
            path, {"rounds": 5, "training.epochs": 1, "training.batch_size": 32, "deadline_s": 600}.get(path, 0.05)
        )
        if not isinstance(old, int | float):
            continue
        change = wishes.changes.get(path) or wishes.additions[path]
        value = old * change.value if path in wishes.changes else old + change.value
        whole = path in ("rounds", "training.epochs", "training.batch_size")
        draft.put(path, max(1, round(value)) if whole else float(f"{value:.6g}"), f"{change.why}; it was {old:g}")
