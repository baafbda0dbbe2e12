import pytest
import torch
from torch import nn

from counterpoint.nn.named import NamedModules

NAMES = ("items", "type", "values", "train", "v1.click", "v1_click", "weight", "Nutzer-ä")


def made(names: tuple[str, ...] = NAMES) -> NamedModules:
    return NamedModules({name: nn.Linear(2, place + 1) for place, name in enumerate(names)})


def test_any_name_of_a_schema_will_do():
    modules = made()
    assert modules.names == NAMES
    assert [modules[name].out_features for name in NAMES] == list(range(1, 9))
    assert len(dict(modules.named_parameters())) == 2 * len(NAMES)


def test_state_goes_to_the_same_names_in_another_order():
    first, second = made(), NamedModules({name: made()[name] for name in reversed(NAMES)})
    second.load_state_dict(first.state_dict())
    for name in NAMES:
        torch.testing.assert_close(second[name].weight, first[name].weight)


def test_parameters_can_be_replaced_for_a_call():
    modules = NamedModules({"a.b": nn.Linear(2, 1)})

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = modules

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.parts["a.b"](x)

    holder = Holder()
    zeros = {name: torch.zeros_like(p) for name, p in holder.named_parameters()}
    assert not torch.func.functional_call(holder, zeros, (torch.ones(3, 2),)).any()
    assert holder(torch.ones(3, 2)).any()


def test_unknown_name():
    with pytest.raises(AttributeError, match="nobody"):
        made()["nobody"]
