"""What every architecture must keep, to hold one of your own to."""

import copy
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, jvp

from counterpoint.data.schema import TaskKind
from counterpoint.graph.views import Block, View
from counterpoint.models.contract import Model, Output, Step, TaskBatch, per_example_loss
from counterpoint.nn.heads import joint_logit

Parameters = Mapping[str, Tensor]


def check_model(model: Model, step: Step, *, idle: Collection[str] = (), seed: int = 0) -> None:
    """Raise an AssertionError that says how ``model`` breaks the contract, if it does.

    A copy is checked, in float64, without dropout and with its parameters moved a little at
    random, so that none is at a special value. What is checked is the list :data:`INVARIANTS`.

    Args:
        model: an architecture on the CPU.
        step: a batch of at least two rows for each of its tasks.
        idle: shared parameters that this step need not train.
        seed: of everything random in here.

    Example::

        graph = TrainingGraph(open_store(path))
        model = Mine(GraphEncoder("gcn", graph.meta, EncoderSettings()), graph.meta.tasks)
        view = graph.view(model.depth)
        batches = {name: TaskBatch(name, view, *rows_of(name)) for name in model.tasks}
        check_model(model, Step(batches))
    """
    generator = torch.Generator().manual_seed(seed)
    tested = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in tested.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    case = _Case(tested, in_float64(step), generator, frozenset(idle))
    for invariant in INVARIANTS:
        invariant(case)


@dataclass(frozen=True)
class _Case:
    model: Model
    step: Step
    generator: torch.Generator
    idle: frozenset[str]

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.model.named_parameters()}

    @torch.no_grad()
    def logits(self, step: Step | None = None) -> dict[str, Tensor]:
        output: Output = self.model(self.step if step is None else step)
        return output.logits

    def losses(self, parameters: Parameters) -> dict[str, Tensor]:
        output: Output = functional_call(self.model, dict(parameters), (self.step,))
        return {
            task: per_example_loss(
                self.model.tasks[task].kind, logits, self.step.batches[task].label
            )
            for task, logits in output.logits.items()
        }

    def gradients(self, task: str) -> dict[str, Tensor]:
        """Of a task's mean loss; zeros where it does not reach."""
        parameters = {name: p.requires_grad_() for name, p in self.parameters.items()}
        loss = self.losses(parameters)[task].mean()
        found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
        return dict(zip(parameters, found, strict=True))

    def noise(self) -> dict[str, Tensor]:
        return {
            name: torch.randn(p.shape, generator=self.generator, dtype=p.dtype)
            for name, p in self.parameters.items()
        }


def in_float64(step: Step) -> Step:
    """The step for a model in float64: features and real labels with it."""
    views: dict[int, View] = {}
    batches = {}
    for task, batch in step.batches.items():
        label = batch.label.double() if batch.label.is_floating_point() else batch.label
        view = views.setdefault(id(batch.view), _view_in_float64(batch.view))
        batches[task] = replace(batch, view=view, label=label)
    return Step(batches)


def _view_in_float64(view: View) -> View:
    inputs = {
        name: values if values.dense is None else replace(values, dense=values.dense.double())
        for name, values in view.inputs.items()
    }
    return replace(view, inputs=inputs)


def _on_blocks(step: Step, change: Callable[[Block], Block]) -> Step:
    """The step with every block of every view changed."""
    views: dict[int, View] = {}
    for batch in step.batches.values():
        if id(batch.view) not in views:
            blocks = tuple(change(block) for block in batch.view.blocks)
            views[id(batch.view)] = replace(batch.view, blocks=blocks)
    return Step(
        {task: replace(batch, view=views[id(batch.view)]) for task, batch in step.batches.items()}
    )


def _at_rows(batch: TaskBatch, rows: Tensor) -> TaskBatch:
    return replace(batch, entity=batch.entity[rows], label=batch.label[rows])


def _require(holds: bool, fault: str) -> None:
    if not holds:
        raise AssertionError(fault)


def _require_equal(found: Tensor, expected: Tensor, fault: str, within: float = 1e-9) -> None:
    _require(found.shape == expected.shape, f"{fault}: {[*found.shape]}, not {[*expected.shape]}")
    found, expected = found.detach(), expected.detach()
    if expected.numel():
        scale = max(1.0, float(expected.abs().max()))
        apart = float((found - expected).abs().max()) / scale
        _require(apart <= within, f"{fault}: apart by {apart:.1e}")


def _groups_cover_all_parameters_once(case: _Case) -> None:
    groups = case.model.parameter_groups()
    expected = {"shared", "last_shared", *(f"tower:{task}" for task in case.model.tasks)}
    _require(set(groups) == expected, f"groups {sorted(groups)}, expected {sorted(expected)}")
    named = [name for group, names in groups.items() if group != "last_shared" for name in names]
    for name in case.parameters:
        count = named.count(name)
        _require(count == 1, f"parameter {name} is in {count} of shared and the towers, not in 1")
    unknown = set(named) - set(case.parameters)
    _require(not unknown, f"the groups name what is no parameter: {sorted(unknown)}")
    _require(bool(groups["last_shared"]), "last_shared is empty")
    astray = set(groups["last_shared"]) - set(groups["shared"])
    _require(not astray, f"last_shared, but not shared: {sorted(astray)}")


def _logits_are_finite_and_well_shaped(case: _Case) -> None:
    many = (TaskKind.MULTICLASS, TaskKind.MULTILABEL)
    logits = case.logits()
    _require(set(logits) == set(case.step.batches), f"logits of {sorted(logits)} alone")
    for name, found in logits.items():
        task, rows = case.model.tasks[name], len(case.step.batches[name].entity)
        shape = [rows, task.classes] if task.kind in many else [rows]
        _require([*found.shape] == shape, f"logits of {name} are {[*found.shape]}, not {shape}")
        _require(bool(found.isfinite().all()), f"logits of {name} are not finite")


def _logits_are_the_same_twice(case: _Case) -> None:
    first, second = case.logits(), case.logits()
    for task in first:
        same = torch.equal(first[task], second[task])
        _require(same, f"logits of {task} differ between two calls in evaluation mode")


def _rows_are_scored_one_by_one(case: _Case) -> None:
    logits = case.logits()
    for task, batch in case.step.batches.items():
        order = torch.randperm(len(batch.entity), generator=case.generator)
        for rows, what in ((order, "permuted"), (order[: len(order) // 2], "some")):
            again = case.logits(Step({**case.step.batches, task: _at_rows(batch, rows)}))[task]
            fault = f"logits of {what} rows of {task} are not those rows of its logits"
            _require_equal(again, logits[task][rows], fault)


def _tasks_are_scored_without_each_other(case: _Case) -> None:
    logits = case.logits()
    for task, batch in case.step.batches.items():
        fault = f"logits of {task} change when the step holds no other task"
        _require_equal(case.logits(Step({task: batch}))[task], logits[task], fault)


def _order_of_edges_does_not_matter(case: _Case) -> None:
    def shuffled(block: Block) -> Block:
        chance = torch.rand(block.csr.n_edges, generator=case.generator, dtype=torch.float64)
        order = torch.argsort(block.csr.dst + chance)
        return replace(
            block,
            csr=replace(block.csr, indices=block.csr.indices[order]),
            etype=block.etype[order],
        )

    logits, again = case.logits(), case.logits(_on_blocks(case.step, shuffled))
    for task in logits:
        _require_equal(again[task], logits[task], f"logits of {task} depend on the order of edges")


def _nodes_without_edges_are_scored(case: _Case) -> None:
    def isolated(block: Block, nodes: Tensor) -> Block:
        csr = block.csr
        kept = ~(torch.isin(csr.dst, nodes) | torch.isin(csr.indices, nodes))
        degree = block.degree.index_fill(0, nodes, 0)
        return Block(csr.kept(kept), block.etype[kept], degree, block.node_type)

    for task, batch in case.step.batches.items():
        node = batch.entity.flatten()[:1]
        step = _on_blocks(Step({task: batch}), lambda block: isolated(block, node))  # noqa: B023
        finite = bool(case.logits(step)[task].isfinite().all())
        _require(finite, f"logits of {task} are not finite where a scored node has no edge")
    bare = _on_blocks(case.step, lambda b: isolated(b, torch.arange(b.csr.n_src)))
    for task, logits in case.logits(bare).items():
        _require(bool(logits.isfinite().all()), f"logits of {task} are not finite without any edge")


def _towers_learn_from_their_own_task_alone(case: _Case) -> None:
    groups = case.model.parameter_groups()
    for task in case.step.batches:
        gradients = case.gradients(task)
        for other in case.model.tasks:
            touched = [name for name in groups[f"tower:{other}"] if gradients[name].any()]
            if other != task:
                _require(not touched, f"the loss of {task} reaches the tower of {other}: {touched}")
            elif groups[f"tower:{task}"]:
                _require(bool(touched), f"the loss of {task} does not reach its own tower")


def _shared_parameters_learn(case: _Case) -> None:
    gradients = [case.gradients(task) for task in case.step.batches]
    for name in case.model.parameter_groups()["shared"]:
        if name in case.idle:
            continue
        _require(any(bool(g[name].any()) for g in gradients), f"no loss reaches the shared {name}")
        finite = all(bool(g[name].isfinite().all()) for g in gradients)
        _require(finite, f"gradients of the shared {name} are not finite")


def _parameters_can_be_replaced_for_a_call(case: _Case) -> None:
    own = case.parameters
    moved = {name: own[name] + 0.1 * noise for name, noise in case.noise().items()}
    logits = case.logits()
    output: Output = functional_call(case.model, moved, (case.step,))
    twin = copy.deepcopy(case.model)
    twin.load_state_dict(moved, strict=False)
    expected: Output = twin(case.step)
    for task, found in output.logits.items():
        same = torch.allclose(found, logits[task], rtol=0, atol=1e-9)
        _require(not same, f"logits of {task} do not change with the parameters of functional_call")
        fault = f"logits of {task} at the parameters of functional_call are not those of a model "
        _require_equal(found, expected.logits[task], fault + "that has them")
    again = case.logits()
    for task in logits:
        _require(
            torch.equal(again[task], logits[task]), "functional_call changes the model for good"
        )


def _forward_mode_agrees_with_differences(case: _Case) -> None:
    own, direction = case.parameters, case.noise()
    length = torch.stack([d.square().sum() for d in direction.values()]).sum().sqrt()
    direction = {name: d / length for name, d in direction.items()}
    with warnings.catch_warnings():
        # torch's own tables of forward derivatives, at their first use
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
        try:
            tangents = jvp(case.losses, (own,), (direction,))[1]
        except (NotImplementedError, RuntimeError) as failure:
            raise AssertionError(f"torch.func.jvp of the losses fails: {failure}") from failure
    tiny = 1e-6
    with torch.no_grad():
        ahead = case.losses({name: p + tiny * direction[name] for name, p in own.items()})
        behind = case.losses({name: p - tiny * direction[name] for name, p in own.items()})
    for task, tangent in tangents.items():
        difference = (ahead[task] - behind[task]) / (2 * tiny)
        fault = f"torch.func.jvp of the losses of {task} is not their difference quotient"
        _require_equal(tangent, difference, fault, within=1e-6)


def _pair_factors_give_the_score(case: _Case) -> None:
    if not case.model.factorised:
        return
    for task, batch in case.step.batches.items():
        if not case.model.tasks[task].is_pair:
            continue
        fault = f"pair_factors of {task} do not give its score"
        _require_equal(_score_of_factors(case.model, batch), case.logits()[task], fault)


def _score_of_factors(model: Model, batch: TaskBatch) -> Tensor:
    h = model.encode(batch.view)[batch.task]
    src, dst = (
        model.pair_factors(h[nodes], batch.task, side)
        for nodes, side in zip(batch.entity.unbind(1), ("src", "dst"), strict=True)
    )
    score = (src.vector * dst.vector).sum(-1) + src.bias + dst.bias
    condition = model.condition(batch.task)
    if condition is None:
        return score
    return joint_logit(_score_of_factors(model, replace(batch, task=condition)), score)


def _training_mode_is_finite(case: _Case) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(case.generator.initial_seed())
        output: Output = copy.deepcopy(case.model).train()(case.step)
    for task, logits in output.logits.items():
        _require(bool(logits.isfinite().all()), f"logits of {task} are not finite in training mode")
    for name, penalty in output.penalties.items():
        single = penalty.ndim == 0 and bool(penalty.isfinite())
        _require(single, f"penalty {name} is not one finite number")


INVARIANTS: tuple[Callable[[_Case], None], ...] = (
    _groups_cover_all_parameters_once,
    _logits_are_finite_and_well_shaped,
    _logits_are_the_same_twice,
    _rows_are_scored_one_by_one,
    _tasks_are_scored_without_each_other,
    _order_of_edges_does_not_matter,
    _nodes_without_edges_are_scored,
    _towers_learn_from_their_own_task_alone,
    _shared_parameters_learn,
    _parameters_can_be_replaced_for_a_call,
    _forward_mode_agrees_with_differences,
    _pair_factors_give_the_score,
    _training_mode_is_finite,
)
