"""The parquet files of a pinned data set on this machine: fetched if need be, within bounds, and checked."""

from __future__ import annotations

from pathlib import Path

from federation.errors import ErrorCode, Refused
from federation.hub_data import PinnedFile
from resources.datasets.hub.listing import Listing, local_folder, refuse
from resources.models.language.sources import file_sha256

MOST_BYTES = 1 << 30
"""Of a data set's files together."""


def pinned(found: Listing, path: str) -> PinnedFile:
    """The file with its hash: stated by the Hub, else of its bytes, for which it is fetched."""
    stated = found.files[path]
    sha256 = stated.sha256 or file_sha256(fetched(found.repository, found.revision, path, found.folder))
    return PinnedFile(path=path, sha256=sha256, size=stated.size)


def local(repository: str, revision: str | None, file: PinnedFile, folder: Path | None) -> Path | None:
    """Where the file is on this machine, by its size; None: it would have to be fetched."""
    here = local_folder(repository, folder)
    if here is not None and (path := here / file.path).is_file() and path.stat().st_size == file.size:
        return _inside(path, here)
    if revision is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(repository, file.path, revision=revision, repo_type="dataset")
    return Path(cached) if isinstance(cached, str) else None


def checked(repository: str, revision: str | None, file: PinnedFile, folder: Path | None) -> Path:
    """The file on this machine, fetched if need be, with the very bytes that the pin names.

    Raises:
        Refused: HASH_MISMATCH for other bytes; DATA_UNAVAILABLE where it is not to be had; NOT_FOUND; FORBIDDEN.
    """
    path = local(repository, revision, file, folder)
    if path is not None and file_sha256(path) == file.sha256:
        return path
    if path is not None and revision is None:
        raise _other(repository, file, "get what the task's owner has")
    path = fetched(repository, revision, file.path, None, most=file.size)
    if file_sha256(path) != file.sha256:
        mend = f"remove {path}, so that it is fetched again" if revision else "get what the task's owner has"
        raise _other(repository, file, mend)
    return path


def fetched(repository: str, revision: str | None, path: str, folder: Path | None, *, most: int = MOST_BYTES) -> Path:
    """The file in `folder`, else from the Hub, whose cache keeps it; refused before a byte beyond `most` is fetched."""
    if folder is not None:
        return _inside(folder / path, folder)
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            return Path(
                hf_hub_download(repository, path, revision=revision, repo_type="dataset", local_files_only=True)
            )
        except LocalEntryNotFoundError:
            # An unreachable Hub is known at once from one question; the download by itself would retry for long.
            url = hf_hub_url(repository, path, revision=revision, repo_type="dataset")
            size = get_hf_file_metadata(url).size
            if size is None or size > most:
                problem = f"data.id: {repository}: {path} has {size} bytes on the Hub, more than the {most} expected."
                raise Refused(ErrorCode.TOO_LARGE, problem, "choose a smaller data set") from None
            return Path(hf_hub_download(repository, path, revision=revision, repo_type="dataset"))
    except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
        refuse(repository, revision, error)


def _inside(path: Path, folder: Path) -> Path:
    if not path.resolve().is_relative_to(folder.resolve()):
        problem = f"data.id: {path.name} is a link that leads out of the data set's folder."
        raise Refused(ErrorCode.FORBIDDEN, problem, f"put the file itself into {folder}")
    return path


def _other(repository: str, file: PinnedFile, mend: str) -> Refused:
    problem = f"data.id: {repository}: {file.path} here has other bytes than the task's, SHA-256 {file.sha256[:12]}…."
    return Refused(ErrorCode.HASH_MISMATCH, problem, mend)
