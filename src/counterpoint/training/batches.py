"""Which rows a step trains on: a function of (seed, epoch, step), the same for model and twin."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from counterpoint.auxiliary import Auxiliary, AuxiliaryBatch
from counterpoint.data.schema import Task, TaskKind
from counterpoint.graph.sampling import NeighbourSampler, step_key
from counterpoint.graph.store import GraphMeta
from counterpoint.graph.views import TrainingGraph, View
from counterpoint.models.contract import Step, TaskBatch
from counterpoint.training.settings import TrainSettings
from counterpoint.weighting.contract import MetaRows

FOLDS = 3
Scored = dict[str, tuple[Tensor, Tensor]]  # task -> flat node numbers [n] or [n, 2], labels


class Batches:
    """Steps of one seed. Every task passes all its training rows once an epoch.

    The number of steps is that of the data set's largest task at ``batch_size``, whichever tasks
    the model has, so a twin takes the same steps on the same rows as the joint model.
    """

    def __init__(
        self,
        graph: TrainingGraph,
        tasks: dict[str, Task],
        settings: TrainSettings,
        seed: int,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
    ) -> None:
        self.graph, self.tasks, self.settings, self.seed = graph, tasks, settings, seed
        self.auxiliaries = auxiliaries or {}
        store = graph.store
        sizes = [len(store.rows(name, "train")) for name in graph.meta.tasks]
        self.steps = -(-max(sizes) // settings.batch_size)
        self._rows: Scored = {}
        for name, task in tasks.items():
            rows = store.rows(name, "train")
            entity = flat_entities(graph.meta, task, rows.entity)
            self._rows[name] = entity, torch.from_numpy(rows.label)
        self._sampler, self._source = None, graph
        if settings.fanouts is not None:
            self._source = graph if graph.device.type == "cpu" else TrainingGraph(store)
            self._sampler = NeighbourSampler(self._source, settings.fanouts)

    def epoch(self, epoch: int, depth: int, *, meta: MetaRows) -> Iterator[Step]:
        """The steps of one epoch; with ``meta`` each carries rows that judge weights too."""
        make = partial(self.step, epoch, depth=depth, meta=meta)
        if self._sampler is None or not self.settings.workers:
            yield from map(make, range(self.steps))
            return
        loader: DataLoader[Step] = DataLoader(
            range(self.steps),  # type: ignore[arg-type]  # any sized, indexable thing will do
            batch_size=None,
            collate_fn=make,
            num_workers=self.settings.workers,
        )
        yield from loader

    def step(self, epoch: int, step: int, *, depth: int, meta: MetaRows) -> Step:
        """Step ``step`` of ``epoch``.

        ``meta`` gives each target a second batch: its next one, or one of the fold of its rows
        that is kept back in this epoch.
        """
        kept_back = {
            name: self._fold(name, epoch)
            for name, task in self.tasks.items()
            if meta == "fold" and task.role == "target"
        }
        scored = {
            name: self._chunk(name, epoch, step, without=kept_back.get(name)) for name in self.tasks
        }
        key = step_key(self.seed, epoch, 2 * step)
        batches = self._on_view(scored, depth, key)
        auxiliary = {
            name: self._auxiliary(objective, place, depth, key)
            for place, (name, objective) in enumerate(self.auxiliaries.items())
        }
        if meta == "none":
            return Step(batches, auxiliary=auxiliary)
        following = {
            name: self._chunk(name, epoch, (step + 1) % self.steps, within=kept_back.get(name))
            for name, task in self.tasks.items()
            if task.role == "target"
        }
        key = step_key(self.seed, epoch, 2 * step + 1)
        return Step(batches, self._on_view(following, depth, key), auxiliary)

    def _auxiliary(self, objective: Auxiliary, place: int, depth: int, key: int) -> AuxiliaryBatch:
        generator = torch.Generator().manual_seed(step_key(key, place, depth))
        views = partial(self._view, depth=depth, key=key)
        return objective.batch(self._source, views, generator).to(self.graph.device)

    def _fold(self, name: str, epoch: int) -> Tensor:
        """Which rows ``[n]`` (bool) are kept back in this epoch; each row's turn comes again."""
        n = len(self._rows[name][0])
        generator = torch.Generator().manual_seed(step_key(self.seed, FOLDS, n))
        return torch.randint(FOLDS, (n,), generator=generator) == epoch % FOLDS

    def _chunk(
        self,
        name: str,
        epoch: int,
        step: int,
        *,
        within: Tensor | None = None,
        without: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        entity, label = self._rows[name]
        order = self._order(epoch, len(entity))
        if within is not None:
            order = order[within[order]]
        if without is not None:
            order = order[~without[order]]
        n = len(order)
        order = order[step * n // self.steps : (step + 1) * n // self.steps]
        if self.tasks[name].kind is not TaskKind.LINK:
            return entity[order], label[order]
        return self._with_negatives(name, entity[order], step_key(self.seed, epoch, step))

    def _order(self, epoch: int, n: int) -> Tensor:
        """Tasks of equal length share the order: on the same impressions, the same batches."""
        generator = torch.Generator().manual_seed(step_key(self.seed, epoch, n))
        return torch.randperm(n, generator=generator)

    def _with_negatives(self, name: str, pairs: Tensor, key: int) -> tuple[Tensor, Tensor]:
        """Positives and ``negatives`` uniform destinations for each."""
        place = list(self.graph.meta.tasks).index(name)
        generator = torch.Generator().manual_seed(key ^ (place << 20))
        destination = self.tasks[name].node_types[1]
        n = len(pairs) * self.settings.negatives
        low = self.graph.meta.offsets[destination]
        high = low + self.graph.meta.count(destination)
        drawn = torch.randint(low, high, (n,), generator=generator)
        sources = pairs[:, 0].repeat_interleave(self.settings.negatives)
        entity = torch.cat([pairs, torch.stack([sources, drawn], dim=1)])
        label = torch.cat([torch.ones(len(pairs)), torch.zeros(n)])
        return entity, label

    def _on_view(self, scored: Scored, depth: int, key: int) -> dict[str, TaskBatch]:
        if not scored:  # pre-training on objectives alone
            return {}
        device = self.graph.device
        pairs = [entity for name, (entity, _) in scored.items() if self.tasks[name].is_pair]
        source = self._source
        keep = source.kept_edges(torch.cat(pairs).to(source.device)) if pairs else None
        nodes = torch.cat([entity.flatten() for entity, _ in scored.values()])
        view = self._view(nodes, depth=depth, key=key, keep=keep).to(device)
        return {
            name: TaskBatch(name, view, view.local(entity.to(device)), label.to(device))
            for name, (entity, label) in scored.items()
        }

    def _view(
        self,
        nodes: Tensor,
        *,
        depth: int,
        key: int,
        keep: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> View:
        if self._sampler is not None:
            return self._sampler.view(nodes, key, keep, hidden)
        return self.graph.view(depth, None if keep is None else keep.to(self.graph.device), hidden)


def flat_entities(meta: GraphMeta, task: Task, entity: np.ndarray) -> Tensor:
    """Flat node numbers ``[n]`` or ``[n, 2]`` of places within the node types."""
    start = torch.tensor([meta.offsets[node_type] for node_type in task.node_types])
    return torch.from_numpy(entity) + (start if task.is_pair else start[0])
