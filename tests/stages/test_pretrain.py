"""Which trunks are trained again: those alone whose ingredients changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from counterpoint.stages import pretrain as stage
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall

PARAMS: dict[str, Any] = {
    "data": {"preset": "tiny"},
    "grid": ("single_task-gcn-fixed",),
    "seeds": (0,),
    "pretrain": {"epochs": 1, "auxiliaries": {"degrees": {"kind": "degree"}}},
    "train": {"encoder": {"width": 8}, "sharing": {"width": 8}, "learning_rate": 0.01},
}


@pytest.fixture
def trained(market_graph: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that runs the stage and says how many trunks it trained."""
    seeds: list[int] = []

    def train(store: Any, encoder: str, settings: Any, train: Any, seed: int, report: Any) -> Any:
        seeds.append(seed)
        return {"encoder.weight": torch.full((2,), float(len(seeds)))}

    monkeypatch.setattr(stage, "pretrained_trunk", train)

    def run(**changed: Any) -> int:
        before = len(seeds)
        output = tmp_path / f"out-{np.random.default_rng().integers(1 << 40)}"
        output.mkdir()
        call = StageCall(
            inputs={"graph": market_graph.store.path},
            output=output,
            params=Params.model_validate({**PARAMS, **changed}),
            scratch=tmp_path / "scratch",
        )
        stage.pretrain(call)
        assert len(list(output.rglob("*.safetensors"))) == len(call.params.seeds)
        return len(seeds) - before

    return run


def test_the_same_trunk_is_not_trained_twice(trained: Any) -> None:
    assert trained() == 1
    assert trained() == 0
    assert trained(seeds=(0, 1, 2)) == 2
    # of fine-tuning alone
    assert trained(train={**PARAMS["train"], "learning_rate": 0.5, "epochs": 3}) == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"train": {**PARAMS["train"], "encoder": {"width": 16}}},
        {"train": {**PARAMS["train"], "sharing": {"width": 16}}},
        {"train": {**PARAMS["train"], "batch_size": 7}},
        {"pretrain": {**PARAMS["pretrain"], "epochs": 2}},
        {"pretrain": {**PARAMS["pretrain"], "auxiliaries": {"d": {"kind": "degree"}}}},
    ],
    ids=str,
)
def test_a_changed_ingredient_trains_it_again(trained: Any, changed: dict[str, Any]) -> None:
    assert trained() == 1
    assert trained(**changed) == 1
    assert trained() == 0
