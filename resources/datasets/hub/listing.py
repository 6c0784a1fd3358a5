"""Which files a data set's repository has: in the data folder of this machine, else as the Hub tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from federation.errors import ErrorCode, Refused
from federation.hub_data import is_parquet
from resources.models.card import Unbuildable

CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps data sets of other formats as parquet."""
_MOST_CARD_BYTES = 1 << 20
_TIMEOUT_S = 10
_TOO_MANY = 429


@dataclass(frozen=True)
class RemoteFile:
    """A file as its repository states it; no SHA-256 where the Hub keeps it as a small one."""

    size: int
    sha256: str | None


@dataclass(frozen=True)
class Listing:
    """A repository at one state.

    Attributes:
        revision: the commit; None: a folder of this machine.
        files: the parquet files, by path.
        others: names of all other files.
        card: the front matter of its README.md.
        folder: where the files are, if they are here.
    """

    repository: str
    revision: str | None
    files: Mapping[str, RemoteFile]
    others: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def listing(repository: str, revision: str | None, folder: Path | None) -> Listing:
    """The repository's files: of `<folder>/hub/<repository>` where that is, else of the Hub; of the branch with the
    Hub's own conversion where the repository has no parquet file and no revision is asked for.

    Raises:
        Refused: NOT_FOUND, DATA_UNAVAILABLE, or FORBIDDEN for a link that leads out of the folder.
    """
    if (here := local_folder(repository, folder)) is not None:
        return _of_folder(repository, here)
    try:
        found = _asked(repository, revision)
        if not found.files and revision is None:
            return _converted(found)
    except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
        refuse(repository, revision, error)
    return found


def local_folder(repository: str, folder: Path | None) -> Path | None:
    """`<folder>/hub/<repository>`, if it is there; Refused FORBIDDEN where a link leads out of the data folder."""
    if folder is None or not (here := folder / "hub" / repository).is_dir():
        return None
    if not here.resolve().is_relative_to(folder.resolve()):
        problem = f"data.id: {repository} is a link that leads out of the data folder."
        raise Refused(ErrorCode.FORBIDDEN, problem, f"put the folder itself below {folder / 'hub'}")
    return here


def _of_folder(repository: str, here: Path) -> Listing:
    every = sorted(path for path in here.rglob("*") if path.is_file())
    parquet = [path for path in every if is_parquet(path.relative_to(here).as_posix())]
    files = {path.relative_to(here).as_posix(): RemoteFile(path.stat().st_size, None) for path in parquet}
    others = tuple(path.relative_to(here).as_posix() for path in every if path.suffix != ".parquet")
    return Listing(repository, None, files, others, _read_card(here / "README.md"), here)


def _read_card(file: Path) -> Mapping[str, Any]:
    from huggingface_hub import metadata_load

    if not file.is_file() or file.stat().st_size > _MOST_CARD_BYTES:
        return {}
    try:
        found = metadata_load(file)
    except Exception:  # whatever a stranger's YAML makes of the parser: a card is a help, not a need
        return {}
    return found if isinstance(found, dict) else {}


def _asked(repository: str, revision: str | None) -> Listing:
    """As the Hub tells. The client uses this machine's own login, if it has one, so that gated sets work."""
    from huggingface_hub import HfApi

    info = HfApi().dataset_info(repository, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
    siblings = info.siblings or ()
    files = {
        file.rfilename: RemoteFile(file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in siblings
        if is_parquet(file.rfilename)
    }
    others = tuple(file.rfilename for file in siblings if not file.rfilename.endswith(".parquet"))
    card = dict(vars(info.card_data)) if info.card_data else {}
    return Listing(repository, str(info.sha), files, others, card)


def _converted(found: Listing) -> Listing:
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        converted = _asked(found.repository, CONVERTED)
    except RevisionNotFoundError:
        converted = found
    if converted.files:
        return Listing(found.repository, converted.revision, converted.files, found.others, found.card)
    problem = f"{found.repository} has no parquet files, and the Hub has not converted it"
    if any(name.endswith(".py") for name in found.others):
        problem += "; it comes with a loading script, and code from a data set is never run here"
    raise Unbuildable("data.id", problem, "choose a data set with parquet files, or bring the data as `own`")


def refuse(repository: str, revision: str | None, error: Exception) -> NoReturn:
    """Say in words what kept the Hub's client from answering; refusals stay as they are."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, Refused):
        raise error
    code = ErrorCode.DATA_UNAVAILABLE
    status = getattr(getattr(error, "response", None), "status_code", None)
    why = f"HTTP {status}" if status is not None else type(error).__name__
    what = f"is neither in a local folder nor to be had from the Hub ({why})"
    mend = f"set POTLUCK_DATA to a folder that holds hub/{repository}, or connect to the internet"
    if status == _TOO_MANY:
        what = "is not to be had at present: the Hub takes no more questions from this address (HTTP 429)"
        mend = f"try again in some minutes, or set POTLUCK_DATA to a folder that holds hub/{repository}"
    match error:
        case GatedRepoError():
            what = "is gated: the Hub gives it only to accounts that have accepted its terms"
            mend = f"accept them at https://huggingface.co/datasets/{repository}, then log in here: hf auth login"
        case RevisionNotFoundError():
            code, what = ErrorCode.NOT_FOUND, f"has no revision {revision} on the Hub"
            mend = "correct data.revision: a branch, a tag or a commit of that repository"
        case RepositoryNotFoundError():
            code, what = ErrorCode.NOT_FOUND, "is neither in a local folder nor on the Hub"
            mend = "correct data.id (see search_datasets); a private one needs a login here: hf auth login"
    raise Refused(code, f"data.id: {repository} {what}.", mend) from error
