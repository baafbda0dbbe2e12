"""`counterpoint models`: the registered model, its versions, its champion.

Exit codes: 0 done, or yes; 1 no (compare), or our own fault; 2 refused, broken, or bad input.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from counterpoint.cli_options import (
    Graph,
    Json,
    Model,
    Version,
    Work,
    graph_of,
    print_json,
    tracking_of,
)
from counterpoint.errors import raise_faults

models_app = typer.Typer(no_args_is_help=True, help="The registered model: promote, roll back.")


@models_app.command("list", epilog="Example: counterpoint models list --work work --json")
def models_list(
    model: Model = "counterpoint", work: Work = Path("work"), as_json: Json = False
) -> None:
    """Versions with verdicts and aliases, the newest first."""
    from counterpoint.registry.listing import listed

    rows = listed(tracking_of(work), model)
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table("version", "verdict", "cell", "aliases", "registered")
    for row in rows:
        held = ", ".join(row["aliases"]) + (" (rolled back)" if row["rolled_back"] else "")
        table.add_row(str(row["version"]), row["verdict"], row["cell"], held, row["registered"])
    Console().print(table)


@models_app.command("show", epilog="Example: counterpoint models show champion")
def models_show(
    version: Version,
    model: Model = "counterpoint",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """The model card of a version and what has happened to it; --json: all tags and metrics too."""
    from counterpoint.registry.listing import shown
    from counterpoint.registry.versions import stored_card

    tracking = tracking_of(work)
    found = shown(tracking, model, version)
    with stored_card(tracking, model, found["version"]) as folder:
        if as_json:
            print_json({**found, "card": _json_of(folder / "card.json")})
            return
        print((folder / "card.md").read_text(encoding="utf-8"))
    held = f" ({', '.join(found['aliases'])})" if found["aliases"] else ""
    print(f"version {found['version']}{held}, registered {found['registered']}")
    for move in found["moves"]:
        print(_move_line(move))


@models_app.command("compare", epilog="Example: counterpoint models compare candidate champion")
def models_compare(
    challenger: Version,
    champion: Annotated[str, typer.Argument(help="Version number or alias.")] = "champion",
    graph: Graph = None,
    model: Model = "counterpoint",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """Test a version against another on today's test set; exit code 1 if it does not pass."""
    from counterpoint.registry.moves import read_log
    from counterpoint.registry.promotion import resolved
    from counterpoint.stages.champion import compared

    tracking = tracking_of(work)
    log = read_log(tracking, model)
    ours, theirs = (int(resolved(tracking, log, name).version) for name in (challenger, champion))
    verdict, comparison = compared(tracking, model, ours, theirs, graph or work / "graph")
    if as_json:
        tasks = [task.model_dump(mode="json") for task in verdict.tasks]
        print_json({**comparison.model_dump(mode="json"), "tasks": tasks})
    else:
        print(f"version {ours} against version {theirs}: {comparison.decision}")
        for reason in comparison.reasons:
            print(f"  {reason}")
    if comparison.decision != "pass":
        raise typer.Exit(1)


@models_app.command(
    "promote", epilog="Example: counterpoint models promote candidate --expect-champion none"
)
def models_promote(
    version: Version,
    expect_champion: Annotated[
        str, typer.Option(help="The version that is champion now, or none.")
    ],
    override: Annotated[
        str | None, typer.Option(metavar="REASON", help="Promote what the evidence forbids.")
    ] = None,
    graph: Graph = None,
    model: Model = "counterpoint",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """Make a version champion: verdict promote, not worse than the champion on today's test set."""
    from counterpoint.registry.promotion import expected_champion, promote
    from counterpoint.stages.champion import judge_on

    expected = expected_champion(expect_champion)
    tracking = tracking_of(work)
    move = promote(
        tracking,
        model,
        version,
        expect_champion=expected,
        judge=judge_on(tracking, model, graph_of(graph, work)),
        override_reason=override,
    )
    _print_move(move.model_dump(mode="json"), as_json)


@models_app.command("rollback", epilog='Example: counterpoint models rollback --why "wrong prices"')
def models_rollback(
    why: Annotated[str, typer.Option(help="The reason; it is recorded.")],
    model: Model = "counterpoint",
    work: Work = Path("work"),
    as_json: Json = False,
) -> None:
    """Make the previous champion champion again."""
    from counterpoint.registry.promotion import rollback

    _print_move(rollback(tracking_of(work), model, why).model_dump(mode="json"), as_json)


@models_app.command("history", epilog="Example: counterpoint models history --json")
def models_history(
    model: Model = "counterpoint", work: Work = Path("work"), as_json: Json = False
) -> None:
    """Every move of champion: who, when, why."""
    from counterpoint.registry.moves import read_log
    from counterpoint.registry.versions import aliases

    tracking = tracking_of(work)
    aliases(tracking, model)  # says what to do where there is no such model
    moves = [move.model_dump(mode="json") for move in read_log(tracking, model).moves]
    if as_json:
        print_json(moves)
        return
    for move in moves:
        print(_move_line(move))


@models_app.command("repair", epilog="Example: counterpoint models repair")
def models_repair(
    model: Model = "counterpoint", work: Work = Path("work"), as_json: Json = False
) -> None:
    """Make the aliases champion and previous say what the log of moves says."""
    from counterpoint.registry.promotion import repair

    changed = repair(tracking_of(work), model)
    if as_json:
        print_json(changed)
        return
    for alias, version in changed.items():
        print(f"{alias} is {'none' if version is None else f'version {version}'} now")
    if not changed:
        print("the aliases say what the log says")


@models_app.command("verify", epilog="Example: counterpoint models verify --work work")
def models_verify(
    model: Model = "counterpoint", work: Work = Path("work"), as_json: Json = False
) -> None:
    """Rehash every stored version, its card, the log of moves and the aliases; exit code 2 if not
    all is whole."""
    from counterpoint.registry.verification import model_faults

    faults = model_faults(tracking_of(work), model)
    if as_json:
        print_json({"model": model, "faults": faults})
        if faults:
            raise typer.Exit(2)
        return
    raise_faults(faults)
    print(f"{model}: every version, the log and the aliases are whole")


def _json_of(path: Path) -> Any:
    from counterpoint.files import read_json

    return read_json(path)


def _print_move(move: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(move)
        return
    again = " again" if move["action"] == "rollback" else ""
    print(f"champion is version {move['version']}{again}, before: {move['before'] or 'none'}.")
    for reason in ((move["evidence"] or {}).get("comparison") or {}).get("reasons", []):
        print(f"  {reason}")


def _move_line(move: dict[str, Any]) -> str:
    override = " (override)" if move["override"] else ""
    return (
        f"{move['number']}  {move['when']}  {move['who']}  {move['action']}"
        f" {move['before'] or 'none'} -> {move['version']}{override}: {move['why']}"
    )
