"""Third-party text files as tables; a fault is one line that names the file and its line."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import polars as pl

from counterpoint.errors import UserError


class Kind(StrEnum):
    """What a column of text holds."""

    INTEGER = "integer"
    NUMBER = "finite number"
    MAYBE_NUMBER = "finite number, nor empty"  # empty is 0
    LABEL = "label (0 or 1)"
    TEXT = "text"
    MAYBE_TEXT = "text, or empty"


def parsed(column: str, kind: Kind) -> pl.Expr:
    """The text column as its kind; null where the text is not of that kind."""
    text = pl.col(column)
    if kind is Kind.INTEGER:
        return text.cast(pl.Int64, strict=False)
    if kind is Kind.MAYBE_TEXT:
        return text.fill_null("")
    if kind in (Kind.NUMBER, Kind.MAYBE_NUMBER):
        given = text.fill_null("").replace("", "0") if kind is Kind.MAYBE_NUMBER else text
        number = given.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).alias(column)
    if kind is Kind.LABEL:
        label = text.cast(pl.Int8, strict=False)
        return pl.when(label.is_in((0, 1))).then(label).alias(column)
    return text


def value_fault(path: Path, line: int, column: str, value: str | None, kind: Kind) -> UserError:
    """The error for one value that is missing or not of its kind."""
    said = f"{value!r} is no {kind.value}" if value is not None else "missing"
    return UserError(f"{path}: line {line}: column {column}: {said}")


def existing_file(source: Path, *names: str) -> Path:
    """The first of ``names`` that ``source`` holds."""
    for name in names:
        if (source / name).is_file():
            return source / name
    raise UserError(f"{source}: holds no {' or '.join(names)}")


def _lines(path: Path) -> pl.DataFrame:
    """``line`` (from 1) and ``text``; gzip is read as what it holds."""
    try:
        lines = pl.read_lines(path, name="text")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (pl.exceptions.PolarsError, OSError) as fault:
        raise UserError(f"{path}: not readable text ({str(fault).splitlines()[0]})") from None
    return lines.with_row_index("line", offset=1)


def read_table(
    path: Path, columns: Mapping[str, Kind], separator: str = "\t", header_lines: int = 0
) -> pl.DataFrame:
    """The columns of a text file whose every line has exactly these, in file order.

    Raises:
        UserError: the file is missing, empty, no UTF-8, or a line is not as ``columns`` say.
    """
    rows = (
        _lines(path)
        .slice(header_lines)
        .select("line", pl.col("text").str.split(separator).alias("parts"))
    )
    if rows.is_empty():
        raise UserError(f"{path}: has no rows")
    odd = rows.filter(pl.col("parts").list.len() != len(columns))
    if odd.height:
        line, parts = odd.row(0)
        raise UserError(f"{path}: line {line}: {len(parts)} columns, must be {len(columns)}")
    texts = rows.select(
        "line", *(pl.col("parts").list.get(place).alias(name) for place, name in enumerate(columns))
    )
    return _parsed_rows(path, texts, columns).drop("line")


def read_id_lists(path: Path, key: str, item: str) -> pl.DataFrame:
    """Lines of a key and its items, tab-separated, as one row a (key, item) in file order."""
    rows = _lines(path).select("line", pl.col("text").str.split("\t").alias("parts"))
    if rows.is_empty():
        raise UserError(f"{path}: has no rows")
    short = rows.filter(pl.col("parts").list.len() < 2)
    if short.height:
        raise UserError(f"{path}: line {short.item(0, 'line')}: a {key} and no {item}")
    pairs = rows.select(
        "line",
        pl.col("parts").list.first().alias(key),
        pl.col("parts").list.slice(1).alias(item),
    ).explode(item)
    return _parsed_rows(path, pairs, {key: Kind.INTEGER, item: Kind.INTEGER}).drop("line")


def _parsed_rows(path: Path, texts: pl.DataFrame, columns: Mapping[str, Kind]) -> pl.DataFrame:
    rows = texts.with_columns(parsed(name, kind) for name, kind in columns.items())
    for name, kind in columns.items():
        if rows[name].null_count():
            place = rows[name].is_null().arg_max()
            assert place is not None
            line, value = texts.item(place, "line"), texts.item(place, name)
            raise value_fault(path, line, name, value, kind)
    return rows


def check_ids(path: Path, ids: pl.Series, nodes: int, node_type: str) -> None:
    """Raise where a file without header names a node outside ``0..nodes-1``."""
    outside = (ids < 0) | (ids >= nodes)
    if outside.any():
        line = outside.arg_max()
        assert line is not None
        raise UserError(
            f"{path}: line {line + 1}: {node_type} {ids[line]}, but there are {nodes} of them"
        )


def read_edges(path: Path, nodes: Mapping[str, int]) -> pl.DataFrame:
    """Tab-separated pairs of node numbers; ``nodes`` gives each column's node type and size."""
    edges = read_table(path, dict.fromkeys(nodes, Kind.INTEGER))
    for node_type, size in nodes.items():
        check_ids(path, edges[node_type], size, node_type)
    return edges


def read_one_each(path: Path, nodes: Mapping[str, int]) -> pl.Series:
    """Pairs that give each node of the first type exactly one of the second: those, in order."""
    node_type, other = nodes
    pairs = read_edges(path, nodes).sort(node_type)
    if pairs[node_type].to_list() != list(range(nodes[node_type])):
        raise UserError(
            f"{path}: {pairs.height} lines, must be one for each of {nodes[node_type]} {node_type}s"
        )
    return pairs[other]
