import pandas as pd
import pytest

from counterpoint.files import new_folder
from counterpoint.registry.bundle import read_bundle
from counterpoint.registry.scores import score
from counterpoint.stages.serving import write_served
from counterpoint.training.cell import CellTrainer, open_run
from counterpoint.training.settings import TrainSettings, cell_named

SETTINGS = TrainSettings.model_validate(
    {
        "encoder": {"width": 4, "layers": 1},
        "sharing": {"width": 4, "tower_width": 4},
        "batch_size": 200,
        "epochs": 1,
        "threads": 1,
    }
)


@pytest.mark.parametrize("architecture", ["shared_bottom", "esmm"])
def test_what_is_served_is_what_training_scored(market_graph, tmp_path, architecture):
    store, cell = market_graph.store, cell_named(f"{architecture}-gcn-fixed")
    with new_folder(tmp_path / "run") as scratch:
        CellTrainer(store, cell, (0,), SETTINGS, scratch, None, lambda line: None).run()
    write_served(store, open_run(tmp_path / "run"), 0, tmp_path / "bundle")
    bundle = read_bundle(tmp_path / "bundle")
    above = bundle.contents.tasks["buy"].condition
    assert above == ("click" if architecture == "esmm" else None)
    for example in bundle.examples:
        given = {name: value for name, value in example.items() if name != "score"}
        found = score(bundle, pd.DataFrame([given])).iloc[0, 0]
        assert found == pytest.approx(example["score"], rel=1e-5)
