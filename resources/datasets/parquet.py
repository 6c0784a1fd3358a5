"""Image data sets in the Hub's parquet layout: from a local folder of that layout, else from the Hub."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from federation.errors import ErrorCode, Refused
from resources.datasets.cache import decoded
from resources.datasets.card import ImageCard, Labels, Pixels, Split
from resources.datasets.pictures import opened

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class HubImages:
    """One configuration of a Hub repository: files `<config>/<split>-00000-of-00001.parquet`.

    Args:
        card: its `hub_id` is the repository, its shape that of every image.
        config: folder in the repository.
        column: of the images; each is a struct with the encoded file as `bytes`. Labels are in `label`.
        folder: where `hub/<repository>/` may hold the same files; they are preferred to the Hub's.
    """

    card: ImageCard
    config: str
    column: str
    folder: Path | None

    def pixels(self, split: Split) -> Pixels:
        file = self._file(split)
        return decoded(f"{self.card.id}-{split}", [file], lambda: self._decode(file))

    def labels(self, split: Split) -> Labels:
        return self._labels(self._read(self._file(split), ["label"]))

    def present(self, split: Split) -> bool:
        from huggingface_hub import try_to_load_from_cache

        repository, relative = str(self.card.hub_id), self._relative(split)
        cached = try_to_load_from_cache(repository, relative, repo_type="dataset")
        return self._local(split) is not None or isinstance(cached, str)

    def _relative(self, split: Split) -> str:
        return f"{self.config}/{split}-00000-of-00001.parquet"

    def _local(self, split: Split) -> Path | None:
        if self.folder is None:
            return None
        file = self.folder / "hub" / str(self.card.hub_id) / self._relative(split)
        return file if file.is_file() else None

    def _file(self, split: Split) -> Path:
        repository, relative = str(self.card.hub_id), self._relative(split)
        if (local := self._local(split)) is not None:
            return local
        try:
            return _from_hub(repository, relative)
        except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
            raise Refused(
                ErrorCode.DATA_UNAVAILABLE,
                f"{self.card.id}: {repository} is neither in a local folder nor to be had from the Hub "
                f"({type(error).__name__}).",
                f"set POTLUCK_DATA to a folder that holds hub/{repository}/{relative}, or connect to the internet",
            ) from error

    def _decode(self, file: Path) -> Pixels:
        table = self._read(file, [self.column, "label"])
        y = self._labels(table)
        channels, height, width = self.card.input_shape
        x = np.empty((len(y), channels, height, width), dtype=np.uint8)
        for row, cell in enumerate(table[self.column]):
            try:
                x[row] = _image(cell["bytes"].as_py(), channels, (width, height))
            except Exception as error:  # decoders raise whatever broken bytes make of them
                raise self._broken(file, f"row {row} is no image of {width}x{height}: {error}") from error
        return Pixels(x, y)

    def _read(self, file: Path, columns: list[str]) -> pyarrow.Table:
        import pyarrow
        import pyarrow.parquet as pq

        try:
            return pq.read_table(file, columns=columns)
        except (OSError, pyarrow.ArrowException) as error:
            raise self._broken(file, str(error)) from error

    def _labels(self, table: pyarrow.Table) -> Labels:
        labels: Labels = table["label"].to_numpy().astype(np.int64)
        return labels

    def _broken(self, file: Path, what: str) -> Refused:
        return Refused(
            ErrorCode.DATA_UNAVAILABLE, f"{self.card.id}: {file} cannot be read: {what}.", "replace the file"
        )


def _from_hub(repository: str, file: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, repo_type="dataset", local_files_only=True))
    except LocalEntryNotFoundError:
        # An unreachable Hub is known at once from one question; the download by itself would retry for half a minute.
        get_hf_file_metadata(hf_hub_url(repository, file, repo_type="dataset"))
        return Path(hf_hub_download(repository, file, repo_type="dataset"))


def _image(data: bytes, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    with opened(io.BytesIO(data)) as image:
        if image.size != size:  # known from the header, before anything is unpacked
            raise ValueError(f"it measures {image.size[0]}x{image.size[1]}")
        array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
