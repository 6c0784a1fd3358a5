"""Data set and model: as named, or what fits the rest."""

from __future__ import annotations

from dataclasses import dataclass

from federation.errors import Refused
from orchestrator.planning.choices.draft import Draft
from orchestrator.planning.reading.wishes import Wishes
from resources.datasets import catalogue as datasets
from resources.models import catalogue as models

SMOLLM = "hf:HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class _Fit:
    model: str
    why: str


_USUAL = {
    "digits": _Fit("mlp", "8x8 images need no more than one hidden layer: 4,810 parameters, and it runs in browsers"),
    "mnist": _Fit("mnist_cnn", "two convolutions: 0.985 on MNIST after 2 rounds of 5 nodes (docs/benchmarks.md)"),
    "fashion_mnist": _Fit("mnist_cnn", "images like MNIST's, for which it was made"),
    "cifar10": _Fit(
        "cifar10_cnn", "six convolutions for colour images; of the heterogeneity study in docs/benchmarks.md"
    ),
}
_LEAST_SIDE = 8


def choose_subject(draft: Draft, wishes: Wishes) -> None:
    """`data` without its partition, and `model`."""
    _choose_data(draft, wishes)
    _choose_model(draft, wishes)
    if draft.pretrained:
        _choose_adapters(draft, wishes)
    else:
        _without_text_wishes(draft, wishes)
    if draft.get("data.id") == "own":
        _describe_own(draft, wishes)
    elif wishes.shape is not None or wishes.classes is not None:
        draft.notes.append(
            f"{draft.get('data.id')} has a shape and classes of its own; what you said of them is left out."
        )
    draft.take(wishes, "data.holdout")


def _choose_data(draft: Draft, wishes: Wishes) -> None:
    if wishes.data is not None:
        draft.put("data.id", wishes.data.value, wishes.data.why)
    elif wishes.texts:
        why = "no texts were named: the catalogue's; say “my texts” for the nodes' own files"
        draft.put("data.id", "own" if wishes.classifies_texts else "shakespeare", why)
    elif wishes.images or wishes.classes is not None:
        draft.put("data.id", "own", "the catalogue has no such data: each node brings its own")
    else:
        draft.put("data.id", "digits", "no data set was named; digits are inside scikit-learn and need no download")
        draft.notes.append("You named no data set that is known here: digits are assumed.")


def _choose_model(draft: Draft, wishes: Wishes) -> None:
    data, named = str(draft.get("data.id")), wishes.model
    texts = wishes.texts if data == "own" or data.startswith("hf:") else data == "shakespeare"
    if named is not None and named.value.startswith("hf:") != texts and (data != "own" or wishes.images):
        holds = "texts" if texts else "images"
        draft.notes.append(f"{named.words} cannot learn from {data}, which holds {holds}: another model is chosen.")
        named = None
    if named is not None and named.value != "cnn":
        draft.put("model.id", named.value, named.why)
    elif texts or (named is None and data.startswith("hf:") and not wishes.images):
        why = (
            "134.5M parameters, small enough for laptops; four nodes took its loss on Shakespeare from 5.01 to 4.33 in "
        )
        draft.put("model.id", SMOLLM, f"{why}3 rounds (docs/benchmarks.md, lora)")
    elif data in _USUAL and not (named is not None or (wishes.crowd == "phones" and data == "cifar10")):
        draft.put("model.id", _USUAL[data].model, _USUAL[data].why)
    else:
        _choose_network(draft, wishes, data, convolutional=named is not None)
    if not draft.pretrained:
        draft.take(wishes, "model.options.hidden")


def _choose_network(draft: Draft, wishes: Wishes, data: str, *, convolutional: bool) -> None:
    shape = wishes.shape if data == "own" else datasets.image_card(data).input_shape if data in _USUAL else (3, 64, 64)
    said = "you said CNN: " if convolutional else ""
    if shape is None:
        shape = (3, 64, 64) if wishes.images else (16,)
    if len(shape) != 3 or min(shape[1:]) < _LEAST_SIDE:
        draft.put("model.id", "mlp", f"takes examples of any shape, {list(shape)} too")
        if convolutional:
            draft.notes.append(f"A CNN takes images with sides of 8 or more; {list(shape)} goes to an MLP.")
    elif wishes.crowd == "phones" or shape[0] == 1:
        why = f"{said}two convolutions, light enough for {wishes.crowd_word}; browsers train it with WebGPU"
        draft.put("model.id", "mnist_cnn", why)
    else:
        draft.put("model.id", "cifar10_cnn", f"{said}six convolutions for small colour images")


def _describe_own(draft: Draft, wishes: Wishes) -> None:
    if draft.pretrained:
        draft.put("data.text", {}, "each node brings texts: .jsonl, .csv or .txt")
        if wishes.shape is not None:
            draft.notes.append(
                f"Examples of shape {list(wishes.shape)} are not texts, which the nodes bring: left out."
            )
        if wishes.classes is not None and not wishes.classifies_texts:
            draft.notes.append(f"“{wishes.classes} classes”: the model writes texts, and has no classes: left out.")
        if wishes.classifies_texts:
            draft.put("model.task", "sequence_classification", "texts with labels: a classifier's head on the adapters")
            _choose_classes(draft, wishes)
        return
    shape = wishes.shape
    if shape is None:
        shape = (3, 64, 64) if wishes.images else (16,)
        draft.notes.append(
            f"You did not say what one example is: {list(shape)} is assumed; nodes' data have to have it."
        )
        draft.put("data.input_shape", list(shape), "assumed: the server cannot see the data")
    else:
        draft.put("data.input_shape", list(shape), "you named the shape; channels come first, values are 0..1")
    _choose_classes(draft, wishes)


def _choose_classes(draft: Draft, wishes: Wishes) -> None:
    if wishes.classes is not None:
        draft.put("data.num_classes", wishes.classes, f"you said “{wishes.classes} classes”")
    else:
        draft.put("data.num_classes", 2, "assumed: the server cannot see the labels")
        draft.notes.append("You did not say how many classes there are: 2 are assumed.")


_OF_TEXTS = ("model.lora.", "model.dtype", "data.text.", "training.accumulation", "training.gradient_checkpointing")


def _choose_adapters(draft: Draft, wishes: Wishes) -> None:
    draft.choose(
        wishes, "model.lora.r", 8, "the rank of the lora study (docs/benchmarks.md): 1.86 MB a node and way, not 269"
    )
    rank = draft.get("model.lora.r")
    draft.choose(wishes, "model.lora.alpha", 2 * rank, "scaling 2, as in that study")
    draft.choose(wishes, "model.dtype", "bfloat16", "the frozen base at half the memory; adapters stay float32")
    draft.take(wishes, *(path for path in wishes.stated if path.startswith(("model.lora.", "data.text."))))
    if wishes.crowd == "phones" and "tab" not in wishes.crowd_word and "browser" not in wishes.crowd_word:
        draft.notes.append(
            "A language model needs Python nodes with the extra llm; tabs of phones train catalogue models alone."
        )
    elif wishes.crowd == "phones":
        draft.notes.append(
            "Browser tabs train models of the catalogue alone: this task needs Python nodes with the extra llm."
        )


def _without_text_wishes(draft: Draft, wishes: Wishes) -> None:
    for path in [path for path in wishes.stated if path.startswith(_OF_TEXTS)]:
        stated = wishes.stated.pop(path)
        draft.notes.append(f"“{stated.words}” is for language models, and {draft.get('model.id')} is none: left out.")


def shape_of(draft: Draft) -> tuple[int, ...] | None:
    """Of one example; None for texts and for data nobody knows."""
    if draft.get("data.id") == "own":
        return tuple(draft.get("data.input_shape") or ()) or None
    try:
        return datasets.image_card(str(draft.get("data.id"))).input_shape
    except Refused:
        return None


def known_model(id: str) -> bool:
    """Whether the catalogue has it."""
    return id in {card.id for card in models.models()}
