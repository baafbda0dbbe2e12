"""What an optimiser moves: a model, and the objectives that are thrown away after training."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from counterpoint.auxiliary import Auxiliary
from counterpoint.data.schema import Task
from counterpoint.models.contract import Model, Step, number_of, per_example_loss
from counterpoint.nn.named import NamedModules
from counterpoint.weighting import Losses


class Trained(nn.Module):
    """Model and objectives as one function of parameters."""

    def __init__(
        self, model: Model, tasks: Mapping[str, Task], auxiliaries: Mapping[str, Auxiliary]
    ) -> None:
        super().__init__()
        self.model, self.tasks = model, dict(tasks)
        self.auxiliaries = NamedModules(auxiliaries)

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
            per_example[name] = objective.losses(self.model.trunk, batch)
            labels[name] = per_example[name].new_zeros(len(per_example[name]))
        return Losses(per_example, sum(output.penalties.values()), labels)

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
        """The model's groups; an objective's own parameters are its tower."""
        groups = {
            group: [f"model.{name}" for name in names]
            for group, names in self.model.parameter_groups().items()
        }
        everything = dict(self.named_parameters())
        for name in self.auxiliaries.names:
            own = {id(parameter) for parameter in self.auxiliaries[name].parameters()}
            groups[f"tower:{name}"] = [key for key, p in everything.items() if id(p) in own]
        return groups
