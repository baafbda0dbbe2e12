"""Batch scoring: the entities of a parquet file, row group after row group, with a version.

::

    scores.parquet   the id columns of the input; probability (a list where the task has classes)
                     or value; known: whether the model knows every node of the row
    scoring.json     what was asked, the version that it meant, digests, counts
    manifest.json
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from counterpoint.data.schema import Strict
from counterpoint.errors import UserError
from counterpoint.files import (
    MANIFEST,
    new_folder,
    read_json,
    sha256_of_file,
    verified_digest,
    write_json,
    write_manifest,
)
from counterpoint.registry.bundle import Bundle
from counterpoint.registry.moves import read_log
from counterpoint.registry.promotion import resolved
from counterpoint.registry.scores import Unknown, entity_rows, id_columns, score_column, task_scores
from counterpoint.registry.tracking import Tracking
from counterpoint.registry.versions import load_version

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCORES, RECORD = "scores.parquet", "scoring.json"
ROWS = 65_536  # scored at a time: bounds memory


class Question(Strict):
    """What determines the scores, to the byte; ``data_digest`` is of what encodes new nodes."""

    model: str
    asked: str
    version: int
    bundle_digest: str
    task: str
    unknown: Literal["refuse", "average", "encode"]
    source_digest: str
    data_digest: str | None = None

    def record(self) -> dict[str, Any]:
        """The question as JSON."""
        return self.model_dump(exclude_none=True)


@dataclass(frozen=True)
class Encoding:
    """New nodes are encoded from a data-set folder, of which ``digest`` is the content's.

    ``extended`` gives an inductive bundle with all of the folder's nodes that a task of it asks
    about.
    """

    data: Path
    digest: str
    extended: Callable[[Bundle, str], Bundle]


@dataclass(frozen=True)
class Scored:
    """A folder of scores; ``fresh`` is false where it was there already for the same question."""

    folder: Path
    question: Question
    rows: int
    unknown_rows: int
    fresh: bool


def score_file(
    tracking: Tracking,
    model: str,
    version: int | str,
    task: str,
    source: Path,
    target: Path,
    unknown: Unknown | Encoding = "refuse",
) -> Scored:
    """Score a parquet file with the columns ``src`` and ``dst``, or ``id``, into ``target``.

    An alias is resolved once and the version recorded. The same question finds its answer.

    Args:
        tracking: the registry.
        model: name of the registered model.
        version: number or alias.
        task: a task of the model.
        source: the parquet file.
        target: folder to make; another answer of this function there is replaced.
        unknown: what happens to rows with a node that the model does not know: none is scored,
            such a node counts as the average one of its type, or it is encoded.

    Raises:
        UserError: no such version, task, file or column; ids are unknown; the version cannot
            encode, or not from these data; ``target`` is a folder of something else.
    """
    number = int(resolved(tracking, read_log(tracking, model), version).version)
    bundle = load_version(tracking, model, number)
    if task not in bundle.contents.tasks:
        has = ", ".join(bundle.contents.tasks)
        raise UserError(f"task {task!r}: none of {model} version {number}, which has {has}")
    if not source.is_file():
        raise UserError(f"{source}: no such file")
    encoding = unknown if isinstance(unknown, Encoding) else None
    if encoding and bundle.inductive is None:
        raise UserError(f"{model} version {number} cannot encode new nodes: {_why_not(bundle)}")
    question = Question(
        model=model,
        asked=str(version),
        version=number,
        bundle_digest=bundle.digest,
        task=task,
        unknown="encode" if isinstance(unknown, Encoding) else unknown,
        source_digest=sha256_of_file(source),
        data_digest=encoding.digest if encoding else None,
    )
    if (answer := _answer(target, question)) is not None:
        return answer
    with new_folder(target) as scratch:
        rows, unknown_rows = _write_scores(bundle, encoding, question, source, scratch / SCORES)
        record = {"question": question.record(), "rows": rows, "unknown_rows": unknown_rows}
        write_json(scratch / RECORD, record)
        write_manifest(scratch)
    return Scored(target, question, rows, unknown_rows, fresh=True)


def _why_not(bundle: Bundle) -> str:
    reason = bundle.contents.transductive or "it was registered before any could; do it again"
    return f"{reason}, or let such nodes count as the average with --unknown average"


def _answer(target: Path, question: Question) -> Scored | None:
    """What is there already for the question; None if nothing is, or another answer."""
    if not target.exists():
        return None
    if not (target / RECORD).is_file() or not (target / MANIFEST).is_file():
        raise UserError(f"{target}: there already, and no folder of scores; name another")
    record = read_json(target / RECORD)
    if record["question"] != question.record():
        return None
    try:
        verified_digest(target)
    except UserError:  # somebody changed the scores: make them again
        return None
    return Scored(target, question, record["rows"], record["unknown_rows"], fresh=False)


def _write_scores(
    bundle: Bundle, encoding: Encoding | None, question: Question, source: Path, target: Path
) -> tuple[int, int]:
    """Write the scores; return the number of rows and of those with an unknown node."""
    import pyarrow.parquet as pq

    wide = bundle if encoding is None else encoding.extended(bundle, question.task)
    rows, unknown, lost, first, writer = 0, 0, 0, None, None
    try:
        for batch in _batches(source, id_columns(bundle.contents.tasks[question.task].entity)):
            scored, known, there = _scored(bundle, wide, question.task, batch)
            if not there.all() and first is None:
                first = rows + int(np.argmin(there))
            rows, lost = rows + len(there), lost + int((~there).sum())
            unknown += int((~known).sum())
            writer = writer or pq.ParquetWriter(target, scored.schema, compression="zstd")
            writer.write_table(scored)
    finally:
        if writer is not None:
            writer.close()
    if not rows:
        raise UserError(f"{source}: no row; there is nothing to score")
    if lost and question.unknown != "average":
        who, way_out = _refusal(question, encoding)
        raise UserError(
            f"{source}: {lost} of {rows} rows have a node that {who}, the first is row {first}; "
            f"leave them out, or {way_out}"
        )
    return rows, unknown


def _refusal(question: Question, encoding: Encoding | None) -> tuple[str, str]:
    """Who does not know a node, and what one can do but leave it out."""
    version = f"{question.model} version {question.version}"
    if encoding is None:
        advice = "let such nodes count as the average with --unknown average"
        return f"{version} does not know", advice
    return f"neither {version} nor {encoding.data} knows", f"add the nodes to {encoding.data}/nodes"


def _batches(source: Path, columns: tuple[str, ...]) -> Iterator["pa.Table"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(source)
    except pa.ArrowException as fault:
        reason = str(fault).splitlines()[0]
        raise UserError(f"{source}: not a readable parquet file ({reason})") from None
    with file:
        if lacking := set(columns) - set(file.schema_arrow.names):
            raise UserError(f"{source}: column {sorted(lacking)[0]} is missing")
        for batch in file.iter_batches(ROWS, columns=list(columns)):
            yield pa.Table.from_batches([batch])


def _scored(
    bundle: Bundle, wide: Bundle, task: str, batch: "pa.Table"
) -> "tuple[pa.Table, np.ndarray, np.ndarray]":
    """The batch with its scores by ``wide``, and which of its rows [n] each bundle knows."""
    import pyarrow as pa

    frame: pd.DataFrame = batch.to_pandas(integer_object_nulls=True)
    known, there = (
        np.all([rows >= 0 for rows in entity_rows(which, task, frame)], axis=0)
        for which in (bundle, wide)
    )
    scores: Any = task_scores(wide, task, frame, "average")
    column = pa.array(list(scores) if scores.ndim == 2 else scores)
    name = score_column(bundle.contents.tasks[task].kind)
    scored = batch.append_column(name, column).append_column("known", pa.array(known))
    return scored, known, there
