import torch

from counterpoint.graph.views import TrainingGraph
from counterpoint.training.batches import FOLDS, Batches
from counterpoint.training.settings import TrainSettings

SETTINGS = TrainSettings(batch_size=70, negatives=2)


def made(graph: TrainingGraph, *tasks: str, seed: int = 0, **changes: object) -> Batches:
    chosen = {name: graph.meta.tasks[name] for name in tasks or graph.meta.tasks}
    return Batches(graph, chosen, SETTINGS.model_copy(update=changes), seed)


def test_every_training_row_once_an_epoch(market_graph: TrainingGraph) -> None:
    batches = made(market_graph)
    steps = list(batches.epoch(0, 1, meta="none"))
    assert len(steps) == batches.steps > 1
    for name in ("click", "topic"):
        seen = torch.cat([step.batches[name].entity for step in steps])
        rows = market_graph.store.rows(name, "train").entity
        assert len(seen) == len(rows) == len(torch.unique(seen, dim=0))
    links = torch.cat([step.batches["visit"].label for step in steps])
    assert links.mean() == 1 / 3


def test_twin_and_joint_model_get_the_same_rows(market_graph: TrainingGraph) -> None:
    joint = made(market_graph).step(2, 1, depth=1, meta="none")
    for name in ("click", "visit", "topic"):
        twin = made(market_graph, name).step(2, 1, depth=1, meta="none")
        assert torch.equal(joint.batches[name].entity, twin.batches[name].entity)
        assert torch.equal(joint.batches[name].label, twin.batches[name].label)


def test_epochs_and_seeds_reorder(market_graph: TrainingGraph) -> None:
    batches = made(market_graph)
    first = batches.step(0, 0, depth=1, meta="none").batches["click"].entity
    assert not torch.equal(first, batches.step(1, 0, depth=1, meta="none").batches["click"].entity)
    other = made(market_graph, seed=1).step(0, 0, depth=1, meta="none").batches["click"].entity
    assert not torch.equal(first, other)


def test_scored_pairs_are_no_edges_of_the_view_that_scores_them(
    market_graph: TrainingGraph,
) -> None:
    n = market_graph.meta.n_nodes
    for fanouts in (None, (5, 5)):
        step = made(market_graph, fanouts=fanouts).step(0, 0, depth=2, meta="next")
        for batches in (step.batches, step.meta):
            assert batches is not None
            view = batches["click"].view
            rows = torch.arange(n) if view.rows is None else view.rows
            for name in ("click", "buy", "visit"):
                if name not in batches:
                    continue
                pairs = rows[batches[name].entity]
                for block in view.blocks[-1:]:
                    derived = market_graph.derived[block.etype]
                    nodes = rows if view.rows is not None else torch.arange(n)
                    dst = nodes[block.csr.dst[derived]]
                    inside = block.csr.indices[derived] < len(nodes)
                    src = nodes[block.csr.indices[derived][inside]]
                    found = set(zip(src.tolist(), dst[inside].tolist(), strict=True))
                    scored = set(map(tuple, pairs.tolist()))
                    assert not found & scored
                    assert not found & {(b, a) for a, b in scored}


def test_the_meta_batch_is_the_targets_next_batch(market_graph: TrainingGraph) -> None:
    batches = made(market_graph)
    step = batches.step(0, 0, depth=1, meta="next")
    following = batches.step(0, 1, depth=1, meta="none")
    assert step.meta is not None
    assert set(step.meta) == {name for name, task in batches.tasks.items() if task.role == "target"}
    for name, batch in step.meta.items():
        assert torch.equal(batch.entity, following.batches[name].entity)


def test_a_fold_of_the_targets_is_kept_back(market_graph: TrainingGraph) -> None:
    """Every target's row judges in one epoch of three, and is trained on in the two others."""
    batches = made(market_graph)
    n = len(market_graph.store.rows("click", "train"))
    judged = []
    for epoch in range(FOLDS):
        steps = list(batches.epoch(epoch, 1, meta="fold"))
        judging = torch.cat([step.meta["click"].entity for step in steps if step.meta])
        trained = torch.cat([step.batches["click"].entity for step in steps])
        assert len(judging) + len(trained) == n
        assert n / 6 < len(judging) < n / 2
        judged.append(judging)
    assert sum(map(len, judged)) == n


def test_workers_change_nothing(market_graph: TrainingGraph) -> None:
    alone = made(market_graph, "click", fanouts=(3, 3))
    helped = made(market_graph, "click", fanouts=(3, 3), workers=2)
    for a, b in zip(alone.epoch(0, 2, meta="none"), helped.epoch(0, 2, meta="none"), strict=True):
        first, second = a.batches["click"], b.batches["click"]
        assert torch.equal(first.entity, second.entity)
        for x, y in zip(first.view.blocks, second.view.blocks, strict=True):
            assert torch.equal(x.csr.indptr, y.csr.indptr)
            assert torch.equal(x.csr.indices, y.csr.indices)
