"""Training state on disk: tensors in safetensors, everything else in JSON beside them."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterpoint.files import new_file


def _encoded(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The JSON form of nested dicts, lists and scalars; tensors are put aside by number."""
    if isinstance(tree, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = tree.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[key, _encoded(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, (list, tuple)):
        return {"list": [_encoded(value, tensors) for value in tree]}
    return tree


def _decoded(form: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(form, dict):
        return form
    if "tensor" in form:
        return tensors[form["tensor"]]
    if "dict" in form:
        return {key: _decoded(value, tensors) for key, value in form["dict"]}
    return [_decoded(value, tensors) for value in form["list"]]


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write nested state of tensors, numbers and strings; whole or not at all."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    form = json.dumps(_encoded(state, tensors))
    with new_file(path) as scratch:
        save_file(tensors, scratch, metadata={"state": form})


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read what :func:`write_checkpoint` wrote; None if there is none."""
    from safetensors import safe_open

    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        state: dict[str, Any] = _decoded(json.loads(stored.metadata()["state"]), tensors)
    return state


def write_parameters(path: Path, model: torch.nn.Module) -> None:
    """A model's state as safetensors."""
    from safetensors.torch import save_file

    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    with new_file(path) as scratch:
        save_file(state, scratch)


def load_parameters(path: Path, model: torch.nn.Module) -> None:
    """Fill ``model`` with what :func:`write_parameters` wrote."""
    from safetensors.torch import load_file

    model.load_state_dict(load_file(path))
