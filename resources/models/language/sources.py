"""A pretrained model's files: in a folder of this machine, or in a repository on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, Protocol

from federation.errors import ErrorCode, Refused

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Source(Protocol):
    """Files by name, of one revision, without those in subfolders."""

    @property
    def name(self) -> str:
        """What people call it, in messages."""

    @property
    def revision(self) -> str | None:
        """The commit on the Hub; None: a folder, which has none."""

    def names(self) -> frozenset[str]:
        """Names of all files."""

    def path(self, name: str) -> Path:
        """The file on this machine, fetched if need be."""

    def sha256(self, name: str) -> str:
        """Of the file's bytes, in hexadecimal."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine.

    Args:
        folder: with the files.
        within: no file may lie outside of it, whatever symbolic links say; None: not looked at.
    """

    name: str
    folder: Path
    revision: str | None = None
    within: Path | None = None

    def names(self) -> frozenset[str]:
        return frozenset(entry.name for entry in self.folder.iterdir() if entry.is_file())

    def path(self, name: str) -> Path:
        path = self.folder / name
        if self.within is not None and not path.resolve().is_relative_to(self.within.resolve()):
            raise Refused(
                ErrorCode.FORBIDDEN,
                f"{self.name}: {name} is a link that leads out of the models folder.",
                f"put the file itself into {self.folder}",
            )
        return path

    def sha256(self, name: str) -> str:
        return file_sha256(self.path(name))


@dataclass(frozen=True)
class Repository:
    """A revision on the Hub, as the Hub describes it; files are fetched into the Hub's cache as they are asked for.

    Args:
        hashes: SHA-256 of each file that the Hub keeps as a large one; None for the others.
    """

    name: str
    revision: str
    hashes: Mapping[str, str | None]

    def names(self) -> frozenset[str]:
        return frozenset(self.hashes)

    def path(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(self.name, name, revision=self.revision))
        except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
            refuse(self.name, self.revision, error, looked=False)

    def sha256(self, name: str) -> str:
        return self.hashes[name] or file_sha256(self.path(name))


def cached(repository: str, revision: str | None) -> Folder | None:
    """What the Hub's cache on this machine holds of the revision, maybe not all of it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return Folder(repository, folder, folder.name)


def asked(repository: str, revision: str | None) -> Repository:
    """The revision as the Hub describes it: one question, with which an unreachable Hub is known at once.

    The client uses this machine's own login, if it has one: so gated models work, on nodes and server alike.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=10)
    if not is_commit(revision):  # downloads by commit leave no word in the cache on where a branch stands
        with suppress(EntryNotFoundError):
            hf_hub_download(repository, "config.json", revision=revision)
    hashes = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in info.siblings or ()}
    return Repository(repository, str(info.sha), {name: hash for name, hash in hashes.items() if "/" not in name})


def is_commit(revision: str | None) -> bool:
    """Whether it names one state for ever, as branches and tags do not."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def refuse(repository: str, revision: str | None, error: Exception, *, looked: bool) -> NoReturn:
    """Say in words what kept the Hub's client from answering.

    Args:
        looked: whether there is a models folder, which does not have it.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    code, what = ErrorCode.DATA_UNAVAILABLE, f"cannot be had from the Hugging Face Hub ({type(error).__name__})"
    mend = f"connect to the internet, or set POTLUCK_MODELS to a folder that holds {repository}"
    if looked:
        what = f"is not in the models folder, and {what}"
        mend = f"correct the name; or put {repository} below the folder POTLUCK_MODELS, or connect to the internet"
    match error:
        case GatedRepoError():
            what = "is gated: the Hub gives it only to accounts that have accepted its terms"
            mend = f"accept them at https://huggingface.co/{repository}, then log in on this machine: hf auth login"
        case RevisionNotFoundError():
            code, what = ErrorCode.NOT_FOUND, f"has no revision {revision} on the Hugging Face Hub"
            mend = "correct model.revision: a branch, a tag or a commit of that repository"
        case RepositoryNotFoundError():
            code, what = ErrorCode.NOT_FOUND, "is neither in the models folder nor on the Hugging Face Hub"
            mend = "correct model.id; a private repository needs a login on this machine: hf auth login"
    raise Refused(code, f"{repository} {what}.", mend) from error


def file_sha256(path: Path) -> str:
    """Of a file's bytes, remembered until the file is another one."""
    found = path.resolve()
    stat = found.stat()
    return _sha256(found, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=1024)
def _sha256(path: Path, *_identity: Any) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
