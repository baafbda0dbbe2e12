"""Tables to a graph store; the one place that decides what training may see."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field, NonNegativeInt, PositiveInt

from counterpoint.data.folder import DataFolder
from counterpoint.data.schema import DataSchema, Name, Strict, Task, TaskKind
from counterpoint.data.splits import SPLITS, assigned_rows
from counterpoint.errors import UserError
from counterpoint.files import write_json, write_manifest, write_tensors
from counterpoint.graph.edges import flat_edges
from counterpoint.graph.features import FeatureEncoder, encoded_features, fitted_encoder
from counterpoint.graph.metapaths import MetaPath, generated_rows
from counterpoint.graph.negatives import evaluation_candidates
from counterpoint.graph.similarity import Similarity, with_similarities
from counterpoint.graph.store import GraphMeta, TypeMeta

Rows = dict[str, dict[str, pl.DataFrame]]  # task -> split -> rows


class BuildSettings(Strict):
    """``candidates``: what held-out links are ranked among; ``all`` is the full ranking.

    ``auxiliaries`` names those of the data set's auxiliary tasks to keep, None all; ``metapaths``
    adds auxiliary tasks of its own, by name; ``similarities`` adds relations.
    """

    candidates: Literal["uniform", "popularity", "all"] = "uniform"
    candidate_count: PositiveInt = 100
    auxiliaries: tuple[Name, ...] | None = None
    metapaths: dict[Name, MetaPath] = Field(default_factory=dict)
    similarities: dict[Name, Similarity] = Field(default_factory=dict)
    seed: NonNegativeInt = 0


def _task_rows(folder: DataFolder) -> Rows:
    rows: Rows = {}
    for name, task in folder.schema.tasks.items():
        keys = [f"row_{column}" for column in task.id_columns]
        label = [] if task.kind is TaskKind.LINK else ["label"]
        frame = assigned_rows(folder, name).select(*keys, *label, "split").collect()
        rows[name] = {split: frame.filter(pl.col("split") == split) for split in SPLITS}
    return rows


def _apply_cross_task(
    folder: DataFolder, rows: Rows
) -> tuple[list[dict[str, object]], dict[str, pl.DataFrame]]:
    """Find training rows whose entity another task holds out; obey the policy.

    Returns the facts, and per task the training rows whose edges the graph may hold.
    """
    policy = folder.schema.cross_task
    facts: list[dict[str, object]] = []
    edges: dict[str, pl.DataFrame] = {}
    tasks = folder.schema.tasks
    # an assigned split is the entity's own, the same in every task: only given ones can disagree
    held_everywhere = {
        name: pl.concat([rows[name][split].drop("label", strict=False) for split in SPLITS[1:]])
        for name in tasks
        if folder.schema.split.by == "given"
    }
    for name, task in tasks.items():
        keys = [f"row_{column}" for column in task.id_columns]
        others = [
            held
            for other, held in held_everywhere.items()
            if other != name and tasks[other].node_types == task.node_types
        ]
        train = rows[name]["train"]
        if others:
            held = pl.concat(others).select(keys).unique()
            clear = train.join(held, on=keys, how="anti", maintain_order="left")
        else:
            clear = train
        facts.append(
            {
                "task": name,
                "policy": policy,
                "training_rows": len(train),
                "held_out_by_another_task": len(train) - len(clear),
            }
        )
        edges[name] = train if policy == "allow" else clear
        if policy == "drop":
            rows[name]["train"] = clear
    return facts, edges


def _fit_nodes(folder: DataFolder, rows: Rows, node_type: str, count: int) -> np.ndarray:
    """Nodes that statistics may see: all but the held-out entities of node tasks."""
    seen = np.ones(count, dtype=bool)
    labelled = np.zeros(count, dtype=bool)
    has_node_task = False
    for name, task in folder.schema.tasks.items():
        if task.node_types == (node_type,):
            has_node_task = True
            labelled[rows[name]["train"]["row_id"].to_numpy()] = True
    return labelled if has_node_task else seen


def _features(
    folder: DataFolder, rows: Rows
) -> tuple[list[TypeMeta], dict[str, np.ndarray], dict[str, FeatureEncoder]]:
    metas, arrays, encoders = [], {}, {}
    for name, node_type in folder.schema.node_types.items():
        table = folder.scan(f"nodes/{name}").select(folder.columns(f"nodes/{name}")).collect()
        fit = _fit_nodes(folder, rows, name, len(table))
        encoders[name] = fitted_encoder(table, node_type.features, fit)
        meta, encoded = encoded_features(name, table, encoders[name])
        metas.append(meta)
        arrays.update(encoded)
    return metas, arrays, encoders


def _label_array(task: Task, rows: pl.DataFrame) -> np.ndarray:
    if task.kind is TaskKind.LINK:
        return np.ones(len(rows), dtype=np.float32)
    if task.kind is TaskKind.MULTICLASS:
        return rows["label"].to_numpy().astype(np.int64)
    if task.kind is not TaskKind.MULTILABEL:
        return rows["label"].to_numpy().astype(np.float32)
    matrix = np.zeros((len(rows), int(task.classes or 0)), dtype=np.float32)
    long = rows.select(place=pl.int_range(pl.len()), label="label").explode("label").drop_nulls()
    matrix[long["place"].to_numpy(), long["label"].to_numpy()] = 1.0
    return matrix


def _task_arrays(tasks: dict[str, Task], rows: Rows, split: str) -> dict[str, np.ndarray]:
    arrays = {}
    for name, task in tasks.items():
        frame = rows[name][split]
        keys = [frame[f"row_{c}"].to_numpy().astype(np.int64) for c in task.id_columns]
        arrays[f"{name}/entity"] = np.stack(keys, axis=1) if task.is_pair else keys[0]
        arrays[f"{name}/label"] = _label_array(task, frame)
    return arrays


def _kept_tasks(schema: DataSchema, settings: BuildSettings) -> dict[str, Task]:
    """Targets, and the auxiliary tasks that the settings keep."""
    there = [name for name, task in schema.tasks.items() if task.role == "auxiliary"]
    kept = there if settings.auxiliaries is None else settings.auxiliaries
    if unknown := [name for name in kept if name not in there]:
        raise UserError(
            f"build.auxiliaries: {', '.join(unknown)} is no auxiliary task of {schema.name}; "
            f"there are {', '.join(there) or 'none'}"
        )
    return {
        name: task for name, task in schema.tasks.items() if task.role == "target" or name in kept
    }


def _with_metapaths(
    meta: GraphMeta,
    flat: dict[str, np.ndarray],
    train: dict[str, np.ndarray],
    settings: BuildSettings,
) -> tuple[GraphMeta, dict[str, np.ndarray]]:
    """The meta with a generated task for each path, and their training rows."""
    if taken := [name for name in settings.metapaths if name in meta.tasks]:
        raise UserError(f"build.metapaths: {', '.join(taken)} is a task already; rename it")
    sizes = [
        len(train[f"{name}/entity"]) for name, task in meta.tasks.items() if task.role == "target"
    ]
    tasks: dict[str, Task] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, path in settings.metapaths.items():
        ends, rows = generated_rows(name, path, meta, flat, max(sizes) // 2, settings.seed)
        tasks[name] = Task(kind=TaskKind.BINARY, entity=ends, role="auxiliary")
        arrays[f"{name}/entity"], arrays[f"{name}/label"] = rows.entity, rows.label
    return meta.model_copy(update={"generated": tasks}), arrays


def _require_rows(folder: DataFolder, rows: Rows) -> None:
    faults = [
        f"{folder.table_path(f'tasks/{name}')}: split {split!r} is empty; "
        "change split in dataset.yaml"
        for name, by_split in rows.items()
        for split in SPLITS
        if not len(by_split[split])
    ]
    if faults:
        raise UserError(*faults)


def write_nodes_and_edges(
    target: Path,
    folder: DataFolder,
    meta: GraphMeta,
    features: dict[str, np.ndarray],
    flat: dict[str, np.ndarray],
) -> None:
    """Write what a graph store has of a graph itself into the empty folder ``target``."""
    for name in ("train", "ids"):
        (target / name).mkdir()
    write_tensors(target / "train" / "edges.safetensors", flat)
    write_tensors(target / "train" / "features.safetensors", features)
    for name in folder.schema.node_types:
        ids = folder.scan(f"nodes/{name}").select("id").collect()
        ids.write_parquet(target / "ids" / f"{name}.parquet")
    write_json(target / "meta.json", meta.model_dump(mode="json"))


def build_graph(
    folder: DataFolder,
    settings: BuildSettings,
    target: Path,
    progress: Callable[[str], None] = lambda step: None,
) -> GraphMeta:
    """Write the graph store of a validated data set into the empty folder ``target``."""
    schema = folder.schema
    progress("splits")
    rows = _task_rows(folder)
    facts, edges = _apply_cross_task(folder, rows)
    _require_rows(folder, rows)
    progress("features")
    metas, features, encoders = _features(folder, rows)
    progress("edges")
    relations, flat = flat_edges(folder, metas, edges)
    meta = GraphMeta(
        name=schema.name,
        node_types=tuple(metas),
        relations=tuple(relations),
        tasks=_kept_tasks(schema, settings),
        cross_task=schema.cross_task,
        candidates=settings.candidates,
    )
    train = _task_arrays(meta.tasks, rows, "train")
    if settings.metapaths:
        progress("meta-paths")
        meta, generated = _with_metapaths(meta, flat, train, settings)
        train |= generated
    if settings.similarities:
        progress("similarities")
        meta, flat = with_similarities(meta, flat, settings.similarities)
    progress("rows and candidates")
    write_nodes_and_edges(target, folder, meta, features, flat)
    write_json(
        target / "train" / "encoders.json",
        {name: encoder.model_dump(mode="json") for name, encoder in encoders.items()},
    )
    write_tensors(target / "train" / "tasks.safetensors", train)
    candidates = {
        name: evaluation_candidates(
            train[f"{name}/entity"],
            (meta.count(task.node_types[0]), meta.count(task.node_types[1])),
            settings.candidate_count,
            popularity=settings.candidates == "popularity",
            seed=settings.seed,
        )
        for name, task in meta.tasks.items()
        if task.kind is TaskKind.LINK and settings.candidates != "all"
    }
    write_tensors(target / "train" / "candidates.safetensors", candidates)
    (target / "held_out").mkdir()
    for split in SPLITS[1:]:
        write_tensors(
            target / "held_out" / f"{split}.safetensors", _task_arrays(meta.tasks, rows, split)
        )
    write_json(target / "held_out" / "facts.json", facts)
    write_manifest(target)
    return meta
