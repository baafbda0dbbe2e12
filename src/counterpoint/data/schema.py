"""What ``dataset.yaml`` may say: node types, relations, tasks, splits."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from counterpoint.errors import UserError

SCHEMA_FILE = "dataset.yaml"
SCHEMA_VERSION = 1


def _plain_name(name: str) -> str:
    if not name.replace("_", "").replace(".", "").replace("-", "").isalnum() or name[0] in "._-":
        raise ValueError(f"{name!r} is not a name: letters, digits, '_', '.', '-' only")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


class Strict(BaseModel):
    """Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureKind(StrEnum):
    """How a feature column enters the model."""

    NUMERIC = "numeric"  # one number a node, standardised with training statistics
    CATEGORICAL = "categorical"  # one value a node, embedded; unseen values share a row
    VECTOR = "vector"  # a list of `size` numbers a node, standardised
    BAG = "bag"  # a list of token ids in [0, size) a node: a sparse bag of words


class Feature(Strict):
    """One feature column of a node type; ``size`` is needed by kinds vector and bag."""

    name: Name
    kind: FeatureKind
    size: PositiveInt | None = None

    @model_validator(mode="after")
    def _size_where_needed(self) -> Self:
        needs = self.kind in (FeatureKind.VECTOR, FeatureKind.BAG)
        if needs != (self.size is not None):
            verb = "needs a size" if needs else "takes no size"
            raise ValueError(f"feature {self.name!r} of kind {self.kind.value} {verb}")
        return self


class NodeType(Strict):
    """A node type; one without features gets a learned embedding a node."""

    features: tuple[Feature, ...] = ()


class Relation(Strict):
    """A static relation between two node types, or one derived from a task's training rows."""

    src: Name | None = None
    dst: Name | None = None
    from_task: Name | None = None

    @model_validator(mode="after")
    def _static_or_derived(self) -> Self:
        static = self.src is not None and self.dst is not None
        if static == (self.from_task is not None) or (self.src is None) != (self.dst is None):
            raise ValueError("a relation has either src and dst, or from_task")
        return self


class TaskKind(StrEnum):
    """What a task predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    LINK = "link"  # rows are positives only; negatives are sampled
    REGRESSION = "regression"


DEFAULT_METRIC = {
    TaskKind.BINARY: "auc",
    TaskKind.MULTICLASS: "micro_f1",
    TaskKind.MULTILABEL: "micro_f1",
    TaskKind.LINK: "ndcg",
    TaskKind.REGRESSION: "rmse",
}


class Task(Strict):
    """One prediction task on a node type or on pairs of nodes.

    ``metric`` is the gate's primary metric, ``margin`` what the task may lose at most for being
    trained jointly (None: the metric's default), ``also`` are metrics that are only reported.
    ``parent`` is the task above in a funnel: a positive here is a positive there.
    """

    kind: TaskKind
    entity: Name | tuple[Name, Name]
    role: Literal["target", "auxiliary"] = "target"
    classes: PositiveInt | None = None
    parent: Name | None = None
    metric: str = ""
    margin: PositiveFloat | None = None
    also: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _default_metric(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("metric") and "kind" in values:
            return {**values, "metric": DEFAULT_METRIC.get(values["kind"], "")}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        many = self.kind in (TaskKind.MULTICLASS, TaskKind.MULTILABEL)
        if many != (self.classes is not None):
            verb = "needs classes: the number of them" if many else "takes no classes"
            raise ValueError(f"a {self.kind.value} task {verb}")
        if many and self.is_pair:
            raise ValueError(f"a {self.kind.value} task scores one node type; pairs have one logit")
        if self.kind is TaskKind.LINK and not self.is_pair:
            raise ValueError("a link task scores pairs: entity: [src node type, dst node type]")
        return self

    @property
    def is_pair(self) -> bool:
        """Whether the scored entity is a pair of nodes."""
        return not isinstance(self.entity, str)

    @property
    def node_types(self) -> tuple[str, ...]:
        """The node types of the scored entity: one, or source and destination."""
        return (self.entity,) if isinstance(self.entity, str) else self.entity

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns of the task's table that name the scored entity."""
        return ("src", "dst") if self.is_pair else ("id",)


class Split(Strict):
    """How entities are divided; one entity has one split across all tasks.

    ``given`` reads the column ``split`` (train, valid, test); ``random`` hashes the entity with
    the seed; ``time`` puts the latest rows into test; ``leave_last_out`` gives each source node's
    last entity of each task to test and the one before to valid.
    """

    by: Literal["given", "random", "time", "leave_last_out"] = "random"
    valid: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _leave_something(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError("valid + test must be below 1: nothing is left to train on")
        return self


class Expectation(Strict):
    """One of the user's own Great Expectations, on the table ``nodes/user`` and the like."""

    table: str
    type: str
    kwargs: dict[str, Any] = {}
    severity: Literal["critical", "warning", "info"] = "critical"


class DataSchema(Strict):
    """The whole of ``dataset.yaml``.

    ``cross_task`` says what happens to a training row of one task whose pair is held out by
    another (a test purchase that is a training click): ``drop`` the row, ``mask`` its edge in the
    graph but keep the label, or ``allow`` both.
    """

    version: Literal[1] = 1
    name: Name
    description: str = ""
    node_types: dict[Name, NodeType]
    relations: dict[Name, Relation] = {}
    tasks: dict[Name, Task]
    split: Split = Split()
    cross_task: Literal["drop", "mask", "allow"] = "drop"
    expectations: tuple[Expectation, ...] = ()

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        faults = _relation_faults(self) + _task_faults(self)
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def targets(self) -> dict[str, Task]:
        """The tasks that the gate judges."""
        return {name: task for name, task in self.tasks.items() if task.role == "target"}

    @property
    def static_relations(self) -> dict[str, Relation]:
        """The relations that come as tables."""
        return {name: r for name, r in self.relations.items() if r.from_task is None}

    def ends(self, relation: str) -> tuple[str, str]:
        """Source and destination node type of a relation, static or derived."""
        found = self.relations[relation]
        if found.from_task is not None:
            src, dst = self.tasks[found.from_task].node_types
            return src, dst
        return str(found.src), str(found.dst)


def _relation_faults(schema: DataSchema) -> list[str]:
    faults = []
    for name, relation in schema.relations.items():
        for node_type in (relation.src, relation.dst):
            if node_type is not None and node_type not in schema.node_types:
                faults.append(f"relation {name!r} names the unknown node type {node_type!r}")
        if relation.from_task is not None:
            task = schema.tasks.get(relation.from_task)
            if task is None:
                faults.append(f"relation {name!r} names the unknown task {relation.from_task!r}")
            elif not task.is_pair or task.kind not in (TaskKind.BINARY, TaskKind.LINK):
                faults.append(
                    f"relation {name!r} is derived from {relation.from_task!r}, "
                    "which is no binary or link task on pairs"
                )
    return faults


def _task_faults(schema: DataSchema) -> list[str]:
    faults = [] if schema.targets else ["no task has role target"]
    for name, task in schema.tasks.items():
        for node_type in task.node_types:
            if node_type not in schema.node_types:
                faults.append(f"task {name!r} names the unknown node type {node_type!r}")
        if task.parent is not None:
            parent = schema.tasks.get(task.parent)
            if parent is None:
                faults.append(f"task {name!r} names the unknown parent {task.parent!r}")
            elif parent.node_types != task.node_types or task.parent == name:
                faults.append(f"task {name!r} and its parent must be two tasks on one entity")
    return faults


def one_line_faults(path: Path, fault: ValidationError) -> list[str]:
    """Pydantic's report as one line a fault: file, place, what is wrong."""
    lines = []
    for error in fault.errors():
        place = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        lines.append(f"{path}: {place}: {message}" if place else f"{path}: {message}")
    return lines


def read_yaml(path: Path) -> Any:
    """Read a YAML file; a missing or broken one is a :class:`UserError`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UserError(f"{path}: not valid YAML{where}") from None


def read_schema(folder: Path) -> DataSchema:
    """Read and check ``dataset.yaml`` of a data-set folder."""
    path = folder / SCHEMA_FILE
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: must be a mapping with name, node_types, tasks")
    version = values.get("version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise UserError(f"{path}: version {version!r}, this Counterpoint reads {SCHEMA_VERSION}")
    try:
        return DataSchema.model_validate(values)
    except ValidationError as fault:
        raise UserError(*one_line_faults(path, fault)) from None


def schema_text(schema: DataSchema) -> str:
    """``dataset.yaml`` for a schema, defaults left out."""
    values = schema.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(
        {"version": SCHEMA_VERSION, **values}, sort_keys=False, allow_unicode=True
    )
