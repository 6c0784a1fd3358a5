"""Where the base of a pretrained model is, which one it is to the bit, and how a node comes by it.

`hf:<name>` is a folder below the models folder, or else a repository on the Hugging Face Hub. The server pins it by
hashes when a task is created, and every node checks what it loads against them: base weights never travel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from federation.base_pin import BasePin
from federation.errors import ErrorCode, Refused
from federation.model_spec import HF, ModelSpec
from resources.models.card import Unbuildable
from resources.models.language import parts
from resources.models.language.sources import Folder, Source, asked, cached, is_commit, refuse


@dataclass(frozen=True)
class Base:
    """Where a base model is: a folder on this machine, or (folder is None) a repository on the Hub."""

    name: str
    folder: Path | None


def resolve(model: ModelSpec, root: Path | None) -> Base:
    """Where the base model is looked for: a folder below `root` if there is one, else the Hub.

    Raises:
        Refused: FORBIDDEN for a folder that a link leads out of `root`; NOT_FOUND for a name that can only be a
            folder's where there is none.
    """
    name = model.id.removeprefix(HF)
    if root is not None and not root.is_dir():
        problem = "the models folder (--models, POTLUCK_MODELS) does not exist here."
        raise Refused(ErrorCode.DATA_UNAVAILABLE, problem, "correct its path, or leave it out: then the Hub is asked")
    if root is not None and (folder := root / name).is_dir():
        if not folder.resolve().is_relative_to(root.resolve()):
            raise Refused(
                ErrorCode.FORBIDDEN,
                f"model.id: {name} is a link that leads out of the models folder.",
                f"put the model's folder itself below {root}",
            )
        return Base(name, folder)
    if name.count("/") > 1:
        where = f"below {root}" if root is not None else "since no models folder is set"
        raise Unbuildable(
            "model.id",
            f"there is no folder {name} {where}",
            "set POTLUCK_MODELS to the folder that it is in, or name a repository on the Hub: hf:owner/name",
            ErrorCode.NOT_FOUND,
        )
    return Base(name, None)


def pin(model: ModelSpec, root: Path | None) -> BasePin:
    """The base model to the bit. Weights on the Hub are not downloaded: it knows their hashes.

    Raises:
        Unbuildable: no base model that Potluck can load; it names the field.
        Refused: DATA_UNAVAILABLE, NOT_FOUND, FORBIDDEN or BAD_DATA, see `fetch`.
    """
    source = _source(model, root, model.revision)
    parts.check_config(source, model.gguf)
    return _pin_of(source, model, {name: source.sha256(name) for name in parts.weight_files(source, model.gguf)})


def describe(model: ModelSpec, root: Path | None, pin: BasePin | None = None) -> Path:
    """A folder with the model's configuration and tokenizer, for whoever needs shapes alone.

    From the Hub no weights are downloaded, but for a GGUF file, which is its own configuration. Refusals as for `pin`.
    """
    source = _source(model, root, _revision(model, pin))
    parts.check_config(source, model.gguf)
    wanted = [model.gguf] if model.gguf else parts.small_files(source, None)
    return next(source.path(name) for name in wanted).parent


def fetch(model: ModelSpec, root: Path | None, pin: BasePin | None) -> Path:
    """A folder with configuration, tokenizer and weights, downloaded if need be, that is what `pin` says.

    Args:
        root: the models folder.
        pin: from the task; None: whatever is found.

    Raises:
        Unbuildable: no base model that Potluck can load; it names the field.
        Refused: HASH_MISMATCH when weights or tokenizer are others than the task's; DATA_UNAVAILABLE when the Hub is
            out of reach or the model gated; NOT_FOUND; FORBIDDEN for links out of the models folder; BAD_DATA.
    """
    source = _source(model, root, _revision(model, pin))
    parts.check_config(source, model.gguf)
    small = [source.path(name) for name in parts.small_files(source, model.gguf)]
    weights = [source.path(name) for name in parts.weight_files(source, model.gguf)]
    folder = weights[0].parent
    if any(path.parent != folder for path in small + weights):
        raise Refused(ErrorCode.BAD_DATA, f"{source.name}: its files lie in several folders.", "fetch it again")
    if pin is not None:
        here = Folder(source.name, folder, source.revision)
        _compare(pin, _pin_of(here, model, {path.name: here.sha256(path.name) for path in weights}), source)
    return folder


def _source(model: ModelSpec, root: Path | None, revision: str | None) -> Source:
    from resources.models.language.extra import need_llm

    need_llm()
    base = resolve(model, root)
    if base.folder is not None:
        return Folder(base.name, base.folder, model.revision, within=root)
    here = cached(base.name, revision)
    if here is not None and is_commit(revision) and _complete(here, model):
        return here
    try:
        return asked(base.name, revision)
    except Exception as error:  # the client raises its own errors, its HTTP library's and the system's
        if here is not None and _complete(here, model) and not isinstance(error, _answers()):
            return here
        refuse(base.name, revision, error, looked=root is not None)


def _answers() -> tuple[type[Exception], ...]:
    """Errors by which the Hub says no, as against being out of reach."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    return GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError


def _complete(source: Source, model: ModelSpec) -> bool:
    try:
        return bool(parts.weight_files(source, model.gguf) and parts.small_files(source, model.gguf) is not None)
    except Refused:
        return False


def _revision(model: ModelSpec, pin: BasePin | None) -> str | None:
    return pin.revision if pin is not None else model.revision


def _pin_of(source: Source, model: ModelSpec, weights: dict[str, str]) -> BasePin:
    if model.gguf is not None:
        sha256 = parts.combined(weights.items())
        return BasePin(source.revision, sha256, sha256)
    files = [(name, source.sha256(name)) for name in parts.tokenizer_files(source)]
    files += [
        (name, parts.settings_sha256(source, name)) for name in parts.TOKENIZER_SETTINGS if name in source.names()
    ]
    files.append((parts.TEMPLATE, parts.text_sha256(parts.chat_template(source))))
    config = (parts.CONFIG, parts.settings_sha256(source, parts.CONFIG))
    return BasePin(source.revision, parts.combined([*weights.items(), config]), parts.combined(files))


def _compare(wanted: BasePin, found: BasePin, source: Source) -> None:
    at = f" at revision {found.revision[:12]}" if found.revision else ""
    wants = f"get revision {wanted.revision[:12]} of the Hub's" if wanted.revision else "get what the task's owner has"
    folder = isinstance(source, Folder) and source.within is not None
    for what, theirs, ours in (
        ("weights of {} have", wanted.sha256, found.sha256),
        ("tokenizer of {} has", wanted.tokenizer_sha256, found.tokenizer_sha256),
    ):
        if theirs != ours:
            raise Refused(
                ErrorCode.HASH_MISMATCH,
                f"the {what.format(source.name + at)} SHA-256 {ours[:12]}…, where the task wants {theirs[:12]}….",
                wants + (", or take the folder out of the models folder, so that it is fetched" if folder else ""),
            )
