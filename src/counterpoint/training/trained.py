"""What an optimiser moves: a model, and what is thrown away after training: objectives, hints."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterpoint.auxiliary import Auxiliary
from counterpoint.data.schema import Task
from counterpoint.graph.views import Block
from counterpoint.models.contract import Model, Output, Step, number_of, per_example_loss
from counterpoint.nn.hints import HintNetwork, HintNetworks
from counterpoint.nn.named import NamedModules
from counterpoint.weighting import Losses
from counterpoint.weighting.contract import Hinted


class Trained(nn.Module):
    """Model, objectives and hint networks as one function of parameters."""

    def __init__(
        self,
        model: Model,
        tasks: Mapping[str, Task],
        auxiliaries: Mapping[str, Auxiliary],
        hints: HintNetworks | None = None,
    ) -> None:
        super().__init__()
        self.model, self.tasks = model, dict(tasks)
        self.auxiliaries = NamedModules(auxiliaries)
        self.hints = hints

    def forward(self, step: Step) -> Losses:
        """Per-example losses of all that the step holds, with the penalties of the model."""
        output = self.model(step)
        per_example: dict[str, Tensor] = {}
        labels: dict[str, Tensor] = {}
        for name, logits in output.logits.items():
            kind, label = self.tasks[name].kind, step.batches[name].label
            per_example[name] = per_example_loss(kind, logits.float(), label)
            labels[name] = number_of(kind, label)
        for name, batch in step.auxiliary.items():
            objective = self.auxiliaries[name]
            assert isinstance(objective, Auxiliary)
            per_example[name] = objective.scale * objective.losses(self.model.trunk, batch)
            labels[name] = per_example[name].new_zeros(len(per_example[name]))
        hints = {} if self.hints is None else _hinted(self.hints, step, output)
        return Losses(per_example, sum(output.penalties.values()), labels, hints)

    @torch.no_grad()
    def remember(self, step: Step, progress: float) -> None:
        """Let the objectives of a step that was taken update their buffers, without dropout."""
        if not step.auxiliary:
            return
        self.eval()
        for name, batch in step.auxiliary.items():
            objective = self.auxiliaries[name]
            assert isinstance(objective, Auxiliary)
            objective.remember(self.model.trunk, batch, progress)
        self.train()

    def parameter_groups(self) -> dict[str, list[str]]:
        """The model's groups; an objective is its own tower, a hint network part of its task's."""
        groups = {
            group: [f"model.{name}" for name in names]
            for group, names in self.model.parameter_groups().items()
        }
        owners = (
            [self.auxiliaries] if self.hints is None else [self.auxiliaries, self.hints.networks]
        )
        everything = dict(self.named_parameters())
        for name, module in ((name, owner[name]) for owner in owners for name in owner.names):
            own = {id(parameter) for parameter in module.parameters()}
            tower = groups.setdefault(f"tower:{name}", [])
            tower += [key for key, p in everything.items() if id(p) in own]
        return groups


def _hinted(hints: HintNetworks, step: Step, output: Output) -> dict[str, Hinted]:
    """Logits of model and hint network, for the tasks of the step that have one."""
    blocks: dict[int, Block] = {}
    found = {}
    for name in hints.networks.names:
        if name not in step.batches:
            continue
        batch, network = step.batches[name], hints.networks[name]
        assert isinstance(network, HintNetwork)
        key = id(batch.view)
        if key not in blocks:
            blocks[key] = hints.block(batch.view)
        by_hint = network(blocks[key], output.representations[name], batch.entity)
        found[name] = Hinted(output.logits[name].float(), by_hint.float())
    return found
