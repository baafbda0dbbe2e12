"""Modules by the user's own names: of tasks, node types, features."""

from collections.abc import Mapping

from torch import nn


class NamedModules(nn.Module):
    """A fixed mapping of names to modules, in the order given.

    ``nn.ModuleDict`` refuses names with a dot and names of its own attributes, and users do call
    a node type ``items``. In the state the module ``a.b`` is ``[a:b]``; names hold no colon.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(modules)
        for name, module in modules.items():
            self.add_module(_key(name), module)

    def __getitem__(self, name: str) -> nn.Module:
        return self.get_submodule(_key(name))


def _key(name: str) -> str:
    return f"[{name.replace('.', ':')}]"
