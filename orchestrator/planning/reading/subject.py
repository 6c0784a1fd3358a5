"""What is to be learned, and from what: the data set and the model."""

from __future__ import annotations

import re

from orchestrator.planning.reading.crowd import CROWD
from orchestrator.planning.reading.numbers import WHOLE
from orchestrator.planning.reading.wishes import Stated, Wishes, quoted
from orchestrator.planning.reading.words import Words

_COUNTED = rf"(?:{CROWD}|rounds?|epochs?)\b"
DATA = {
    "fashion_mnist": r"fashion[-_ ]?mnist|clothes|clothing|garments?|fashion images?",
    "mnist": r"mnist(?: digits?| handwritten digits?)?",
    "cifar10": rf"cifar(?:[-_]?10(?![-_]?\d)| 10(?!\d| {_COUNTED})|(?![-_]?\d| \d{{1,9}}\b(?! {_COUNTED})))"
    r"(?: images?)?",
    "shakespeare": r"shakespeare\w*(?: (?:plays|texts?|speeches|corpus))?|speeches|hamlet",
    "digits": r"(?:sklearn |scikit-learn |optical |handwritten |written |drawn )?digits?(?: (?:data ?set|images?))?"
    r"|handwriting",
}
MODELS = {
    "mnist_cnn": r"mnist_cnn|mnist cnn",
    "cifar10_cnn": r"cifar10_cnn|cifar(?:-?10)? cnn",
    "mcmahan_cnn": r"mcmahan_cnn|(?:the )?cnn of (?:mcmahan|the fedavg paper)|fedavg paper'?s? cnn",
    "mcmahan_2nn": r"mcmahan_2nn|2nn",
    "logistic": r"logistic(?: regression)?|linear (?:model|classifier)|softmax regression",
    "mlp": r"mlp|multi-?layer perceptron|perceptron|dense network|fully[- ]connected(?: network)?",
    "cnn": r"cnns?|conv(?:olutional)?(?: (?:neural )?net(?:work)?)?s?|convnet",
}
PRETRAINED = {
    "hf:HuggingFaceTB/SmolLM2-360M-Instruct": r"smol-?lm(?:2|-2)?[- ]?360m(?:-instruct)?",
    "hf:HuggingFaceTB/SmolLM2-1.7B-Instruct": r"smol-?lm(?:2|-2)?[- ]?1\.7b(?:-instruct)?",
    "hf:HuggingFaceTB/SmolLM2-135M-Instruct": r"smol-?lm(?:2|-2)?(?:[- ]?135m)?(?:-instruct)?",
    "hf:openai-community/gpt2": r"gpt-?2(?:[- ]small)?",
    "hf:distilbert/distilbert-base-uncased": r"distil-?bert",
    "hf:google-bert/bert-base-uncased": r"bert(?:-base)?(?:-uncased)?",
    "hf:Qwen/Qwen2.5-0.5B-Instruct": r"qwen(?:-?2\.5)?(?:[- ]0\.5b)?(?:-instruct)?",
    "hf:TinyLlama/TinyLlama-1.1B-Chat-v1.0": r"tiny-?llama",
}
_TEXTS = (
    r"(?:texts?|documents?|e-?mails?|messages?|notes|letters|chats?|articles|books?|stories|sentences|reviews?|posts"
    r"|tweets?|jsonl(?: files?)?|txt files?|corpora|corpus|writings?|diar(?:y|ies)|transcripts?|reports?)"
)
_TABLES = r"(?:csv(?: files?)?|spreadsheets?|tables?)"
_OWN = r"(?:my|our|their|its|his|her|your|own|private|local|the nodes'?|personal)"
_LANGUAGE = (
    r"\b(?:(?:small |tiny |large )?language models?|s?llms?|text generation|generat\w+ text|next[- ]word prediction"
    r"|keyboard|chat ?bots?|assistants?|autocomplet\w+|gpt|write(?:s|r)? (?:like|in the style)\w*|fine-?tun\w+)\b"
)
_LABELLED_TEXTS = (
    r"\b(?:sentiments?(?: (?:analysis|classif\w+))?|spam(?: (?:filter|detect\w*))?|topic classif\w+"
    r"|intent (?:classif\w+|detect\w+)"
    r"|text classif\w+|classify (?:\w+ )?(?:texts?|reviews?|e-?mails?|messages?|tweets?|documents?|reports?))\b"
)
_IMAGES = r"(?:images?|pictures?|photos?|photographs?|x-?rays?|radiographs?|(?:mri |ct )?scans?|mris?|slides|drawings?)"
_NUMERIC = r"(?:features|columns|measurements|numbers|values|sensor readings|variables|signals)"


def read_subject(words: Words, wishes: Wishes) -> None:
    """Repositories first, then names, then kinds of data."""
    _read_repositories(words, wishes)
    _read_shape(words, wishes)
    _read_model(words, wishes)
    _read_data(words, wishes)


def _read_repositories(words: Words, wishes: Wishes) -> None:
    named = [
        (found, words.repositories[int(found[2])])
        for found in words.all(
            r"((?:\b(?:on|over|from|data ?set|data|corpus|texts?|with|images)\s+(?:the\s+)?)?)\bhfref(\d{1,3})\b"
            r"(\s+(?:images|pictures|photos|data ?set|data|texts|corpus|reviews)\b)?"
        )
        if int(found[2]) < len(words.repositories)
    ]
    for found, name in named:
        if ((found[1] and not found[1].startswith("with")) or found[3]) and wishes.data is None:
            wishes.data = Stated(f"hf:{name}", f"hf:{name}")
            wishes.images = wishes.images or (found[3] or found[1]).strip() in ("images", "pictures", "photos")
        elif wishes.model is None:
            wishes.model = Stated(f"hf:{name}", f"hf:{name}")
            wishes.texts = True
        elif wishes.data is None:
            wishes.data = Stated(f"hf:{name}", f"hf:{name}")
        else:
            wishes.notes.append(
                f"hf:{name} is a third repository, and a task has one model and one data set: left out."
            )


def _read_shape(words: Words, wishes: Wishes) -> None:
    grey = words.says(r"\b(?:gr[ae]y(?:[- ]?scale)?|black[- ]and[- ]white|monochrome)\b") or bool(
        re.search(r"\bx-?rays?\b|\bradiographs?\b|\bmris?\b|\bct scans?\b", words.text)
    )
    colour = words.says(r"\b(?:colou?r(?:ed)?|rgb)\b") and not grey
    if found := words.find(r"\b(\d{1,4})\s*x\s*(\d{1,4})(?:\s*x\s*(\d{1,4}))?(?:\s*(?:pixels?|px))?\b"):
        sides = [int(side) for side in found.groups() if side]
        if len(sides) == 3 and sides[0] > 4 and sides[2] <= 4:
            sides = [sides[2], sides[0], sides[1]]
            wishes.notes.append(f"“{quoted(found)}” was read as height, width, channels; examples have channels first.")
        if len(sides) == 2:
            sides = [1 if grey else 3, *sides]
            if not grey and not colour:
                wishes.notes.append(f"“{quoted(found)}” names no channels: 3 (colour) are assumed; say grey for 1.")
        wishes.shape, wishes.images = tuple(sides), True
    elif found := words.find(rf"\b{WHOLE}\s+(?:numeric(?:al)? |input )?{_NUMERIC}\b"):
        wishes.shape = (int(found[1]),)
    kinds = r"(?:classes|labels|categories|kinds|species|diseases|types|diagnoses|outcomes|topics)"
    if found := words.find(rf"\b{WHOLE}\s+(?:different )?{kinds}\b|\b(?:num_classes|classes)\s*(?:=|:)\s*{WHOLE}\b"):
        wishes.classes = int(found[1] or found[2])
    elif words.says(r"\bbinary(?: classif\w+)?\b|\byes[/ ](?:or )?no\b"):
        wishes.classes = 2


def _read_model(words: Words, wishes: Wishes) -> None:
    for id, pattern in (*PRETRAINED.items(), *MODELS.items()):
        found = words.find(rf"\b(?:{pattern})\b")
        if found is None:
            words.denies(rf"\b(?:{pattern})\b")
            continue
        words.says(rf"\b(?:{pattern})\b")
        if wishes.model is not None:
            wishes.notes.append(
                f"two models are named; {wishes.model.words} stands, and “{quoted(found)}” is left out."
            )
            continue
        wishes.model = Stated(id, quoted(found))
        wishes.texts = wishes.texts or id.startswith("hf:")
    if found := words.find(
        rf"\b(?:hidden|width)\s*(?:layer\s*)?(?:size|units|width|of|=|:)?\s*(?:of\s*)?{WHOLE}\b"
        rf"|\b{WHOLE} hidden(?: units| neurons)?"
    ):
        wishes.state("model.options.hidden", int(found[1] or found[2]), found)


def _read_data(words: Words, wishes: Wishes) -> None:
    for id, pattern in DATA.items():
        found = words.find(rf"\b(?:{pattern})\b")
        words.denies(rf"\b(?:{pattern})\b")
        if found is None:
            continue
        words.says(rf"\b(?:{pattern})\b")
        if wishes.data is not None:
            if not (id == "digits" and wishes.data.value in ("mnist", "digits")):
                first = wishes.data.words
                wishes.notes.append(f"two data sets are named; {first} stands, and “{quoted(found)}” is left out.")
            continue
        wishes.data = Stated(id, quoted(found))
    if words.says(_LABELLED_TEXTS):
        wishes.classifies_texts = wishes.texts = True
    numeric = wishes.shape is not None and len(wishes.shape) == 1
    written = _TEXTS if numeric else rf"(?:{_TEXTS}|csv files?)"
    own_texts = words.find(rf"\b{_OWN}\s+(?:own\s+)?(?:\w+\s+)?{written}\b")
    texts = own_texts or words.find(rf"\b{written}\b") if not wishes.images else None
    own_images = words.find(rf"\b{_OWN}\s+(?:own\s+)?(?:\w+\s+){{0,2}}{_IMAGES}\b")
    images = own_images or words.find(rf"\b(?:chest |medical |skin |lung |colou?r |satellite )?{_IMAGES}\b")
    words.says(rf"\b(?:{_TEXTS}|{_IMAGES})\b")
    own = words.find(rf"\b{_OWN}\s+(?:own\s+)?(?:data(?: ?sets?)?|files|records|{_TABLES})\b|\bbring \w+ own data\b")
    words.says(rf"\b{_TABLES}\b")
    language = words.find(_LANGUAGE)
    words.says(_LANGUAGE)
    wishes.images = wishes.images or images is not None
    if wishes.data is not None:
        wishes.texts = wishes.texts or wishes.data.value == "shakespeare"
        return
    wishes.texts = wishes.texts or (images is None and (texts is not None or language is not None))
    said = own_texts or own_images or own or texts or images
    if said is not None or wishes.shape is not None:
        wishes.data = Stated(
            "own", quoted(said) if said is not None else f"examples of shape {list(wishes.shape or ())}"
        )
