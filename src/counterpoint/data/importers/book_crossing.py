"""Book-Crossing with a book knowledge graph (KGCN, SELAR)."""

from pathlib import Path

from counterpoint.data.importers.imported import Imported
from counterpoint.data.importers.kg_recommendation import (
    Published,
    pair_rows,
    read_knowledge_graph,
)
from counterpoint.data.schema import DataSchema, NodeType, Relation, Task, TaskKind

PUBLISHED = Published(users=17860, items=14967, entities=77902, triples=151500, ratings=139746)


def read(source: Path) -> Imported:
    """Task ``read``, with the given negatives."""
    graph = read_knowledge_graph(source, PUBLISHED)
    schema = DataSchema(
        name="book_crossing",
        description="Users, books and a book knowledge graph; one sampled negative a positive.",
        node_types={name: NodeType() for name in ("user", "item", "entity")},
        relations={"has_read": Relation(from_task="read"), **graph.relations},
        tasks={"read": Task(kind=TaskKind.BINARY, entity=("user", "item"))},
    )
    tables = {**graph.tables, "tasks/read": pair_rows(graph.ratings)}
    return Imported(schema, tables, graph.counts)
