"""What a data set on the Hub is, to the bit: looked at once, when a task is created or checked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from federation.hub_data import HF, ColumnsSpec, DataPin, PinnedFile
from federation.spec import TaskSpec
from resources.datasets.hub.alike import check_alike
from resources.datasets.hub.columns import Columns, columns_of
from resources.datasets.hub.files import MOST_BYTES, checked, local, pinned
from resources.datasets.hub.images import look
from resources.datasets.hub.labels import Classes, classes_of, read_labels
from resources.datasets.hub.listing import Listing, listing
from resources.datasets.hub.numbers import read_numbers
from resources.datasets.hub.reading import check_size
from resources.datasets.hub.roles import settled
from resources.datasets.hub.splits import chosen
from resources.datasets.hub.texts import read_texts, read_users
from resources.datasets.text.rows import characters
from resources.models.card import Unbuildable
from resources.models.language.sources import is_commit

_NAMES, _NAME = 100, 64
_lock = threading.Lock()
_known: OrderedDict[Hashable, DataPin] = OrderedDict()
_turns: WeakValueDictionary[Hashable, threading.Lock] = WeakValueDictionary()
"""By data set: who asks for one that somebody looks at waits, and nobody else."""
_MOST_KNOWN = 16


@dataclass(frozen=True)
class NotHere:
    """A data set that would have to be fetched, and how many bytes that are."""

    repository: str
    size: int


def pin(spec: TaskSpec, folder: Path | None, *, most_bytes: int = MOST_BYTES) -> DataPin | NotHere:
    """The data set that the task means, with every row of what it trains on looked at.

    Args:
        folder: where `hub/<repository>/` may hold it.
        most_bytes: fetch no more than that; beyond, the answer is `NotHere`.

    Raises:
        Refused: whatever keeps it from being trained on; `Unbuildable`, where a field of the spec is to blame.
    """
    repository = spec.data.id.removeprefix(HF)
    found = listing(repository, spec.data.revision, folder)
    config, train, test = chosen(spec.data, found)
    size = sum(found.files[path].size for path in (*train, *test))
    if size > MOST_BYTES:
        problem = f"the splits have {size / 2**20:,.0f} MiB, more than the {MOST_BYTES >> 20} that are taken"
        raise Unbuildable("data.id", problem, "choose a smaller configuration, split or data set")
    if size > most_bytes and not all(_here(found, path) for path in (*train, *test)):
        return NotHere(repository, size)
    files = tuple(pinned(found, path) for path in train), tuple(pinned(found, path) for path in test)
    root = None if found.folder is None else _data_folder(found.folder, repository)
    here, there = ([checked(repository, found.revision, file, root) for file in split] for split in files)
    data = spec.data
    said = repr(found.card.get("dataset_info"))
    key = (data.id, data.columns, data.image_size, spec.model.pretrained, spec.model.classifies, files, config, said)
    commit = spec.data.revision if is_commit(spec.data.revision) else None  # a folder itself has none
    made = _once(key, lambda: _looked_at(spec, found, config, files, (here, there)))
    return made.model_copy(update={"revision": found.revision or commit})


def _once(key: Hashable, look_at: Callable[[], DataPin]) -> DataPin:
    """What is known of this data set; looked at by one thread, while others go on with theirs."""
    with _lock:
        turn = _turns.setdefault(key, threading.Lock())
    with turn:
        with _lock:
            made = _known.get(key)
        if made is None:
            made = look_at()
        with _lock:
            _known[key] = made
            _known.move_to_end(key)
            while len(_known) > _MOST_KNOWN:
                _known.popitem(last=False)
    return made


def _here(found: Listing, path: str) -> bool:
    file = PinnedFile.model_construct(path=path, sha256="", size=found.files[path].size)
    return found.folder is not None or local(found.repository, found.revision, file, None) is not None


def _data_folder(here: Path, repository: str) -> Path:
    """`/data` of `/data/hub/acme/things`."""
    return here.parents[len(Path(repository).parts)]


def _looked_at(
    spec: TaskSpec,
    found: Listing,
    config: str,
    files: tuple[tuple[PinnedFile, ...], tuple[PinnedFile, ...]],
    paths: tuple[list[Path], list[Path]],
) -> DataPin:
    here, there = paths
    for each, split in ((here, "training"), (there, "test")):
        check_size(each, split)
    columns = columns_of(here[0], found, config)
    holds, named = settled(spec, columns)
    check_alike(here, named, columns, found, config)
    check_alike(there, named.model_copy(update={"user": None}), columns, found, config)
    if named.user is not None:
        read_users(here, named.user, "training")
    made = DataPin(revision=found.revision, train=files[0], test=files[1], holds=holds, columns=named, num_train=1)
    if holds == "texts":
        return _of_texts(spec, made, here, there, columns)
    y = str(named.y)
    labels = read_labels(here, y, "training")
    classes = classes_of(labels, y, columns[y].names)
    classes.of(labels, y, "training")
    tested = read_labels(there, y, "test")
    classes.of(tested, y, "test")
    shape = _shape(spec, named, here, there)
    return made.model_copy(update=_of_classes(classes) | {
        "num_train": len(labels), "num_test": len(tested), "input_shape": shape,
    })  # fmt: skip


def _shape(spec: TaskSpec, named: ColumnsSpec, here: Sequence[Path], there: Sequence[Path]) -> tuple[int, ...]:
    if not isinstance(named.x, str):
        for files, split in ((here, "training"), (there, "test")):
            read_numbers(files, list(named.x or ()), split)
        return (len(named.x or ()),)
    seen = look(here, named.x, spec.data.image_size, "training")
    if there:
        tested = look(there, named.x, spec.data.image_size, "test")
        if tested.shape[1:] != seen.shape[1:]:
            problem = f"training images are {list(seen.shape)} and test images {list(tested.shape)}"
            raise Unbuildable("data.image_size", problem, "give data.image_size, e.g. [64, 64]: height and width")
    return seen.shape


def _of_texts(spec: TaskSpec, made: DataPin, here: Sequence[Path], there: Sequence[Path], columns: Columns) -> DataPin:
    learnt = tested = None
    classes = None
    if spec.model.classifies:
        y = str(made.columns.y)
        labels = read_labels(here, y, "training")
        classes = classes_of(labels, y, columns[y].names)
        learnt = classes.of(labels, y, "training")
        tested = classes.of(read_labels(there, y, "test"), y, "test")
    rows = read_texts(here, made.columns, learnt, "training")
    if not rows:
        raise Unbuildable("data.splits.train", "it holds no texts", "choose another split")
    test_rows = read_texts(there, made.columns, tested, "test")
    return made.model_copy(update=(_of_classes(classes) if classes else {}) | {
        "num_train": len(rows), "num_test": len(test_rows), "characters": sum(characters(row) for row in rows),
    })  # fmt: skip


def _of_classes(classes: Classes) -> dict[str, object]:
    named = 0 < len(classes.names) <= _NAMES
    names = tuple("".join(c if c.isprintable() else " " for c in name)[:_NAME] for name in classes.names)
    return {"labels": classes.kind, "num_classes": classes.count, "class_names": names if named else ()}


def paths(data_id: str, made: DataPin, split: str, folder: Path | None) -> list[Path]:
    """The split's files on this machine, fetched if need be; refusals as for `checked`."""
    files = made.train if split == "train" else made.test
    return [checked(data_id.removeprefix(HF), made.revision, file, folder) for file in files]


def present(data_id: str, made: DataPin, split: str, folder: Path | None) -> bool:
    """Whether the split is on this machine."""
    files = made.train if split == "train" else made.test
    return all(local(data_id.removeprefix(HF), made.revision, file, folder) is not None for file in files)
