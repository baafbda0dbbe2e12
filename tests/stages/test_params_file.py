from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from counterpoint.errors import UserError
from counterpoint.stages.params import Params
from counterpoint.stages.params_file import params_for_run, read_params, with_twins
from counterpoint.stages.train import train_settings
from counterpoint.training.settings import cell_named

GRID = ["single_task-gcn-fixed", "mmoe-gcn-fixed"]


def written(tmp_path: Path, **values: Any) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"grid": GRID, **values}))
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"grid": ["mmoe-gcn-fixed"]}, "add single_task-gcn-fixed"),
        ({"grid": [*GRID, "mmoe-gnc-fixed"]}, "no encoder 'gnc'"),
        ({"grid": [*GRID, *GRID]}, "listed twice"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"train": {"epochs": 0}}, "epochs"),
        ({"train": {"epcohs": 3}}, "epcohs"),
        ({"build": {"candidates": "some"}}, "candidates"),
        ({"evaluate": {"gate": {"alpha": 2}}}, "alpha"),
        ({"evaluate": {"margins": {"click": 0}}}, "margins"),
        ({"overrides": {"gat": {}}}, "'gat' is no encoder and no variant"),
        ({"grid": [*GRID, "mmoe-gcn-fixed-big"]}, "overrides.big what it varies"),
        (
            {"grid": [*GRID, "mmoe-gcn-fixed-big"], "overrides": {"big": {"epochs": 9}}},
            "overrides.big: epochs is shared by joint models and twins; a variant of mmoe changes",
        ),
        (
            {"grid": [*GRID, "single_task-gcn-fixed-wide"], "overrides": {"wide": {"epochs": 9}}},
            "a variant of single_task changes encoder, sharing alone",
        ),
        (
            {
                "grid": [*GRID, "single_task-gcn-fixed-wide"],
                "overrides": {"wide": {"encoder": {"width": 64}}},
                "pretrain": {"epochs": 1},
            },
            "leave single_task-gcn-fixed-wide out",
        ),
        ({"overrides": {"gcn": {"epocs": 1}}}, "epocs"),
        ({"data": {"source": "folder"}}, "path"),
        ({"sedes": [1]}, "sedes"),
    ],
)
def test_each_fault_names_the_file_and_the_place(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read_params(written(tmp_path, **values))
    assert all("\n" not in line for line in raised.value.faults)


def fetched(repo: str) -> Params:
    data = {"source": "dvc", "repo": repo, "rev": "1", "path": "market", "digest": "0"}
    return Params.model_validate({"grid": GRID, "data": data})


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("login", ["ann:secret", "secret", "ann:se@cret"])
def test_an_address_with_a_password_is_refused_and_not_repeated(scheme: str, login: str) -> None:
    """A pipeline's parameters can be read by everyone in the namespace, as a step's log can."""
    with pytest.raises(ValidationError, match="repo: an address without user and") as raised:
        fetched(f"{scheme}://{login}@git.example.org/team/data")
    assert "cret" not in str(raised.value)


@pytest.mark.parametrize(
    "repo", ["https://git.example.org/team/data@work", "git@git.example.org:team/data", "../data"]
)
def test_an_address_without_a_password_is_taken(repo: str) -> None:
    assert fetched(repo).data.repo == repo


def test_overrides_go_to_joint_models_and_twins_of_an_encoder(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        grid=[*GRID, "single_task-mlp-fixed"],
        train={"encoder": {"width": 8, "layers": 1}, "epochs": 7},
        overrides={"gcn": {"encoder": {"width": 4}}},
    )
    params = read_params(path)
    for name, width in (*((name, 4) for name in GRID), ("single_task-mlp-fixed", 8)):
        settings = train_settings(params, cell_named(name))
        assert settings.encoder.width == width
        assert settings.encoder.layers == 1
        assert settings.epochs == 7


def test_a_variant_changes_its_own_cell_alone(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        grid=[*GRID, "mmoe-gcn-fixed-big"],
        train={"sharing": {"width": 8, "experts": 3}},
        overrides={"gcn": {"epochs": 4}, "big": {"sharing": {"experts": 9}}},
    )
    params = read_params(path)
    experts = [train_settings(params, cell_named(name)).sharing.experts for name in params.grid]
    assert experts == [3, 3, 9]
    big = train_settings(params, cell_named("mmoe-gcn-fixed-big"))
    assert (big.sharing.width, big.epochs) == (8, 4)
    assert cell_named("mmoe-gcn-fixed-big").twin == GRID[0]


def test_twins_may_be_of_another_size_too(tmp_path: Path) -> None:
    wide = {"encoder": {"width": 96}, "sharing": {"width": 96}}
    path = written(tmp_path, grid=["single_task-gcn-fixed-wide", *GRID], overrides={"wide": wide})
    params = read_params(path)
    settings = [train_settings(params, cell_named(name)) for name in params.grid]
    assert [found.encoder.width for found in settings] == [96, 64, 64]
    assert with_twins(params.grid) == (GRID[0], "single_task-gcn-fixed-wide", GRID[1])


def test_run_adds_the_twins(tmp_path: Path) -> None:
    path = written(tmp_path, grid=["mmoe-gat-fixed", "shared_bottom-gat-fixed"])
    params = params_for_run(tmp_path, path)
    assert params.grid == ("single_task-gat-fixed", "mmoe-gat-fixed", "shared_bottom-gat-fixed")
    assert params.data.path == str(tmp_path)
    assert with_twins(params.grid) == params.grid
