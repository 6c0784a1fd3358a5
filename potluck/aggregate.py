"""`potluck aggregate`: a rule applied to files, streaming: memory is about two models, whatever their number."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import typer
from pydantic import ValidationError

from federation.aggregation.compatibility import Cell, fewest_updates, option_problems, refusals
from federation.aggregation.contributions import Claim
from federation.aggregation.files import FileUpdates
from federation.aggregation.fold import zeros
from federation.aggregation.methods import METHODS, Kind, options_of
from federation.aggregation.outcome import Aggregate
from federation.aggregation.rules import aggregate_updates
from federation.aggregation.scaffold import CONTROL, two_sets
from federation.errors import ErrorCode, Refused
from federation.layout import DTYPES, Layout, read_layout, shown
from federation.spec import AggregationSpec, Problem, in_a_sentence, spec_problems
from federation.threads import use_threads
from federation.weights import AUX, DELTA, Tensors, aux_layout, check_layout, check_model, chunks, prefixed
from potluck.flags import for_files
from potluck.pairs import pairs

MOST_EXAMPLES = 10**9
"""Most examples that a file may stand for; a task's spec allows no more."""


def run(
    files: Sequence[Path],
    out: Path,
    *,
    rule: str,
    weights: str | None,
    options: Iterable[str],
    mixing: str = "none",
    clients: int | None = None,
) -> None:
    """Write the aggregated tensors to `out`, named as in the files, and print what was done.

    Files of SCAFFOLD's updates have a second set, `aux/<name>`; `clients` are then all of the federation.

    Raises:
        Refused: for files that cannot be read or are unlike, for wrong counts and options, and as rules refuse.
    """
    use_threads(1)
    counts = _counts(weights, files)
    layout, prefix, second = _layout_of(files)
    spec = _spec(rule, pairs("--option", options), mixing, weighted=counts is not None, deltas=bool(prefix))
    _check_second(rule, second, clients, len(files))
    try:
        made = _aggregate(spec, files, layout, prefix, counts or [1] * len(files), clients)
    except Refused as refused:
        raise for_files(refused) from None
    tensors = {prefix + name: tensor for name, tensor in made.weights.items()}
    if second:
        tensors |= {AUX + name: made.state[CONTROL + name] for name in layout}
    _write(out, tensors)
    _say(files, made, layout, prefix, spec, out)


def _write(out: Path, tensors: Tensors) -> None:
    """All of the file or nothing of it."""
    beside = out.parent / f".potluck-{os.getpid()}"
    try:
        with beside.open("wb") as sink:
            sink.writelines(chunks(tensors))
        beside.replace(out)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        problem = f"{out} cannot be written: {error.strerror}."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "give --out a path in a folder that is there") from None


def _counts(weights: str | None, files: Sequence[Path]) -> list[int] | None:
    if weights is None:
        return None
    parts = [part.strip() for part in weights.split(",")]
    mend = "give a whole number of at least 1 for each file, in their order, with commas between: 3,1"
    if len(parts) != len(files):
        problem = f"--weights has {len(parts)} counts for {len(files)} files."
        raise Refused(ErrorCode.BAD_COUNT, problem, mend)
    return [_count(part, path, mend) for part, path in zip(parts, files, strict=True)]


def _count(part: str, path: Path, mend: str) -> int:
    digits = part.lstrip("0")
    if not (part.isascii() and part.isdecimal() and digits):
        problem = f"--weights: {shown(part)}, for {path}, is no count: counts are whole numbers of at least 1."
        raise Refused(ErrorCode.BAD_COUNT, problem, mend)
    if len(digits) > len(str(MOST_EXAMPLES)) or int(digits) > MOST_EXAMPLES:
        problem = f"--weights: the count for {path} is above {MOST_EXAMPLES:,}."
        raise Refused(
            ErrorCode.BAD_COUNT, problem, "divide all counts by the same number: their ratios are what counts"
        )
    return int(digits)


def _layout_of(files: Sequence[Path]) -> tuple[Layout, str, bool]:
    """What every file holds: names without the prefix, and the prefix, which is empty for plain tensors; and whether
    each delta has its second set."""
    first, *others = files
    with _about(first):
        whole = read_layout(first)
        found = {name: info for name, info in whole.items() if not name.startswith(AUX)}
        second = 0 < len(found) < len(whole) and all(name.startswith(DELTA) for name in found)
        found = found if second else whole
        under = [name.startswith(DELTA) for name in found]
        if any(under) and not all(under):
            stray = next(name for name in found if not name.startswith(DELTA))
            problem = f"some tensors are deltas ({DELTA}<name>), {shown(stray)} is not."
            raise Refused(ErrorCode.BAD_UPDATE, problem, "give files of deltas alone, or of plain tensors alone")
        prefix = DELTA if found and all(under) else ""
        layout = {name.removeprefix(prefix): info for name, info in found.items()}
        check_model(layout)
    beside = prefixed(aux_layout(layout), AUX) if second else None
    with _about(first):
        check_layout(first, layout, prefix=prefix, beside=beside)
    for path in others:
        with _about(path, mend=f"give files with the names, shapes and dtypes of {first}"):
            check_layout(path, layout, prefix=prefix, beside=beside)
    return layout, prefix, second


class _about:
    """Puts the file's name into a refusal."""

    def __init__(self, path: Path, mend: str | None = None) -> None:
        self._path = path
        self._mend = mend

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise Refused(error.code, f"{self._path}: {error.problem}", self._mend or error.mend) from None
        if isinstance(error, OSError):
            problem = f"{self._path} cannot be read: {error.strerror}."
            raise Refused(ErrorCode.NOT_FOUND, problem, "correct the path") from None


def _spec(
    rule: str, options: dict[str, int | float | bool | str], mixing: str, *, weighted: bool, deltas: bool
) -> AggregationSpec:
    if rule not in METHODS:
        raise Refused(ErrorCode.INVALID_ARGUMENT, f"there is no rule {rule!r}.", f"use one of {', '.join(METHODS)}")
    if METHODS[rule].kind is Kind.ADAPTER:
        problem = f"{rule} asks for the adapter that nodes started from and for its scaling; files do not say them."
        mend = "let a task with a pretrained model run it, or use fedavg, which takes the mean of each factor"
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, mend)
    asked = {"rule": rule, "options": options, "mixing": mixing, "max_examples": MOST_EXAMPLES}
    try:
        spec = AggregationSpec.model_validate(asked | {"weighting": "examples" if weighted else "uniform"})
    except ValidationError as error:
        mend = f"the options of {rule}: {', '.join(METHODS[rule].options.model_fields) or 'none'}"
        refused = Refused(ErrorCode.INVALID_ARGUMENT, in_a_sentence(spec_problems(error)), mend)
        raise for_files(refused) from None
    found = refusals(Cell(spec.rule, spec.mixing, spec.weighting_or_default)) + option_problems(spec)
    if weighted and METHODS[rule].robust:
        found = [Problem(field="--weights", problem=f"{rule} counts heads", mend="leave --weights out")]
    if rule == "fednova":
        found.append(Problem(field="--rule", problem="fednova asks how many steps made each update", mend="use fedavg"))
    if METHODS[rule].kind is Kind.OPTIMIZER and not deltas:
        problem = f"{rule} takes a step along deltas, and these files hold plain tensors"
        found.append(Problem(field="--rule", problem=problem, mend=f"give files of {DELTA}<name>, or use fedavg"))
    if found:
        mend = "; ".join(each.mend for each in found)
        raise for_files(Refused(ErrorCode.INVALID_ARGUMENT, in_a_sentence(found), mend))
    return spec


def _check_second(rule: str, second: bool, clients: int | None, files: int) -> None:
    if rule != "scaffold":
        if clients is None and not second:
            return
        problem = f"{rule} has no use for control variates, {AUX}<name> in the files and --clients."
        raise Refused(ErrorCode.INVALID_ARGUMENT, problem, "use --rule scaffold, or files of deltas without --clients")
    if not second:
        problem = f"scaffold folds the changes of control variates, {AUX}<name>, and the files have none."
        raise Refused(
            ErrorCode.BAD_UPDATE, problem, "give files as nodes of a scaffold task upload them, or use fedavg"
        )
    if clients is None or clients < files:
        problem = "scaffold asks of how many clients the server's control variate is the mean; files do not say that."
        mend = f"give --clients, the number of all clients of the federation: {files}, if each has a file here, or more"
        raise Refused(ErrorCode.BAD_COUNT, problem, mend)


def _aggregate(
    spec: AggregationSpec,
    files: Sequence[Path],
    layout: Layout,
    prefix: str,
    counts: Sequence[int],
    clients: int | None,
) -> Aggregate:
    claims = [
        Claim(f"{place:09d}", str(path), count, 1)
        for place, (path, count) in enumerate(zip(files, counts, strict=True))
    ]
    nothing = {name: tensor.to(DTYPES[layout[name].dtype]) for name, tensor in zeros(layout).items()}
    if spec.control_variates:
        updates, changes = two_sets(files, layout)
        return aggregate_updates(spec, nothing, claims, updates, changes=changes, clients=clients)
    return aggregate_updates(spec, nothing, claims, FileUpdates(files, layout, prefix=prefix))


def _say(files: Sequence[Path], made: Aggregate, layout: Layout, prefix: str, spec: AggregationSpec, out: Path) -> None:
    kind = f"deltas ({DELTA}<name>)" if prefix else "plain tensors"
    for path, diagnosis in zip(files, made.diagnoses, strict=True):
        weight = "" if diagnosis.weight is None else f"  weight {diagnosis.weight:.4g}"
        reason = f"  {diagnosis.reason}" if diagnosis.reason else ""
        typer.echo(f"{path}  norm {diagnosis.norm:.4g}{weight}{reason}")
    if _withstands_nothing(spec, len(files)):
        fewest = fewest_updates(spec, 1)
        typer.echo(f"{spec.rule} of so few files withstands nothing: f = 0; to withstand one it takes {fewest} files")
    values = sum(info.num_values for info in layout.values())
    typer.echo(f"{spec.rule} of {len(files)} files of {kind}: {len(layout)} tensors, {values:,} values in {out}")


def _withstands_nothing(spec: AggregationSpec, files: int) -> bool:
    """Whether a robust rule was left to choose f, and could choose but 0."""
    method = METHODS[spec.rule]
    asked = options_of(spec.rule, spec.options)
    return method.robust and asked.f is None and files < fewest_updates(spec, 1)
