"""Small parquet files, as the Hub holds them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from federation.spec import TaskSpec, parse_spec

FIRST, SECOND, CONVERTED = "1" * 40, "2" * 40, "3" * 40
BRANCH = "refs/convert/parquet"


def parquet(columns: dict[str, Any], features: dict[str, Any] | None = None) -> bytes:
    """A file of these columns, with the metadata that the library `datasets` writes."""
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=7)
    return out.getvalue()


def png(value: int, size: tuple[int, int] = (4, 3), mode: str = "L") -> dict[str, Any]:
    """A cell with an image of one colour; size is width and height."""
    out = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 255 - value)).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def images(count: int, classes: int = 2, seed: int = 0, **how: Any) -> bytes:
    """Images whose brightness follows their label."""
    labels = np.random.default_rng(seed).integers(0, classes, count)
    return parquet({"image": [png(int(40 * label + 9), **how) for label in labels], "label": labels})


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    """The data folder `folder`, with the files of `acme/things`."""
    for name, data in files.items():
        path = folder / "hub" / "acme" / "things" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def task(data: dict[str, Any] | None = None, **sections: Any) -> TaskSpec:
    """A task on the data set `acme/things`."""
    part = {"id": "hf:acme/things", "partition": {"parts": 2, "min_examples": 1}, **(data or {})}
    return parse_spec({"name": "t", "model": {"id": "mlp"}, "data": part, **sections})


def writer(data: dict[str, Any] | None = None, **model: Any) -> TaskSpec:
    """A language model's task on it."""
    return task(data, model={"id": "hf:acme/tiny"} | model)
