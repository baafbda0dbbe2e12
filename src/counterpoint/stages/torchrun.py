"""Torchrun: what it says of this process, and how it is started for the call of a stage.

``torchrun -m counterpoint.cli stage train …`` makes every process a worker of that stage. Where
only the environment can be set, ``COUNTERPOINT_WORKERS`` makes the stage start torchrun itself;
this module is then what each worker runs. Either way the result has the same bytes.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from counterpoint.errors import UserError
from counterpoint.files import new_folder, read_json, write_json
from counterpoint.stages.params import Params
from counterpoint.stages.table import StageCall, stage_named

WORKERS = "COUNTERPOINT_WORKERS"
# how long a worker waits for the others; if one fails torchrun ends all, so this is for ever
PATIENCE = timedelta(days=30)
CALL, LOG = "call.json", "torchrun.log"


@dataclass(frozen=True)
class Worker:
    """One of ``world`` processes, ``local`` its place among those of its machine."""

    rank: int = 0
    world: int = 1
    local: int = 0


def _of_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def this_worker() -> Worker:
    """This process as torchrun numbered it; the only one, if another started it."""
    if not _of_torchrun():
        return Worker()
    return Worker(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))


def workers_asked() -> int:
    """How many workers the stage is to start; 1 if it is one of torchrun's already."""
    stated = os.environ.get(WORKERS, "1")
    if not stated.isdecimal() or int(stated) < 1:
        raise UserError(f"{WORKERS}: {stated!r} is no number of workers; say 1 or more")
    return 1 if _of_torchrun() else int(stated)


@contextmanager
def joined(worker: Worker) -> Iterator[None]:
    """The default group of torch.distributed; each worker of a machine on a GPU of its own."""
    from torch import cuda, distributed

    # torchrun ends the others so where one fails, and they must take their folders with them
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if cuda.is_available():
        cuda.set_device(worker.local % cuda.device_count())
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def shared_folder(target: Path) -> Iterator[Path]:
    """As :func:`new_folder`; with several workers it is the first one's, and all are told of it."""
    worker = this_worker()
    with ExitStack() as stack:
        if worker.world > 1:
            stack.enter_context(joined(worker))
        folder = stack.enter_context(new_folder(target)) if worker.rank == 0 else target
        yield folder if worker.world == 1 else _folder_of_the_first(folder)


def _folder_of_the_first(folder: Path) -> Path:
    """Of folders side by side that of the first worker; by a tensor, as objects are pickled."""
    import torch

    name = torch.zeros(255, dtype=torch.uint8)
    own = torch.frombuffer(bytearray(folder.name.encode()), dtype=torch.uint8)
    name[: len(own)] = own
    torch.distributed.broadcast(name, 0)
    return folder.with_name(bytes(name.tolist()).rstrip(b"\0").decode())


def run_workers(call: StageCall, number: int) -> None:
    """Train the cell of a call by so many workers on this machine.

    Raises:
        UserError: what the first of them that had a line for the user said.
        RuntimeError: one failed otherwise; its notes have all that torchrun printed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = {
            "inputs": {artifact: str(path) for artifact, path in call.inputs.items()},
            "output": str(call.output),
            "params": call.params.model_dump(mode="json", by_alias=True),
            "cell": call.cell,
            "scratch": None if call.scratch is None else str(call.scratch),
        }
        write_json(folder / CALL, written)
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(number), "--log-dir", name, "-m", __name__, name),
        ]
        # -m puts the current folder before the standard library
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        with (
            (folder / LOG).open("w") as log,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            ) as torchrun,
        ):
            assert torchrun.stdout is not None
            try:
                for line in torchrun.stdout:
                    call.report(line.rstrip())
            finally:
                # the next line of a worker without a reader ends it, also where this is killed
                torchrun.stdout.close()
                torchrun.wait()
        if torchrun.returncode:
            raise _failure(folder)


def _failure(folder: Path) -> Exception:
    if told := sorted(folder.glob("fault-*.json")):
        return UserError(*read_json(told[0]))
    failure = RuntimeError("a worker failed")
    failure.add_note((folder / LOG).read_text())
    return failure


def _printed(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """One worker on the call that :func:`run_workers` wrote into the folder of the argument."""
    folder, worker = Path(sys.argv[1]), this_worker()
    written = read_json(folder / CALL)
    call = StageCall(
        inputs={name: Path(path) for name, path in written["inputs"].items()},
        output=Path(written["output"]),
        params=Params.model_validate(written["params"]),
        cell=written["cell"],
        scratch=None if written["scratch"] is None else Path(written["scratch"]),
        report=_printed,
    )
    try:
        with joined(worker):
            stage_named("train").function(call)
    except UserError as fault:
        write_json(folder / f"fault-{worker.rank}.json", list(fault.faults))
        sys.exit(2)


if __name__ == "__main__":
    main()
