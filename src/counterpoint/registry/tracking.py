"""The connection to MLflow: an explicit sqlite store by default, any server by configuration.

Everything goes through one client that is bound to one address; the fluent API would obey an
injected ``MLFLOW_RUN_ID`` before it obeys us. MLflow's global address is left as it is, since
``mlflow.set_tracking_uri`` rewrites the environment of the whole process.
"""

import getpass
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterpoint.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "counterpoint."  # of every tag and parameter that we write

_PAGE = 500
_TRACKING_URI = "MLFLOW_TRACKING_URI"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it prints the address with its password
    "MLFLOW_UV_AUTO_DETECT": "false",  # or a model takes along the uv.lock of whoever logs it
}


@dataclass(frozen=True)
class Tracking:
    """An open tracking store.

    ``artifacts`` is where a new experiment puts its artefacts; None: the server decides.
    """

    uri: str
    client: "MlflowClient"
    artifacts: str | None

    @property
    def public_uri(self) -> str:
        """The address without credentials, for tags, receipts and messages."""
        return redacted(self.uri)


def connect(work: Path, uri: str | None = None) -> Tracking:
    """Open ``uri``, else ``MLFLOW_TRACKING_URI``, else ``<work>/mlflow.db``.

    A database without a server in front of it keeps artefacts in ``mlartifacts``: beside the
    sqlite file, else in ``work``.

    Raises:
        UserError: the address is a folder of files, or nothing answers there.
    """
    uri = uri or os.environ.get(_TRACKING_URI)
    if not uri:  # an empty variable is as good as none
        work.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{work.resolve() / 'mlflow.db'}"
    if ("://" not in uri and uri != "databricks") or uri.startswith("file:"):
        raise UserError(
            f"{uri}: MLflow no longer tracks to a folder; give sqlite:///PATH.db or a server"
        )
    database = _sqlite_file(uri)
    served = uri.startswith(("http://", "https://", "databricks"))
    beside = (database.parent if database else work).resolve() / "mlartifacts"
    return Tracking(uri, _answering_client(uri), None if served else beside.as_uri())


def experiment_id(tracking: Tracking, name: str) -> str:
    """Identifier of the experiment ``name``, which is made if it is not there yet."""
    found = tracking.client.get_experiment_by_name(name)
    if found is None:
        created = tracking.client.create_experiment(name, artifact_location=tracking.artifacts)
        return str(created)
    if found.lifecycle_stage != "active":
        raise UserError(
            f"{tracking.public_uri}: experiment {name!r} is deleted; restore it with "
            f"`mlflow experiments restore -x {found.experiment_id}`, or name another"
        )
    return str(found.experiment_id)


def every_page(search: Callable[..., Any], query: str) -> list[Any]:
    """All that one of the client's searches finds; it answers in pages."""
    from mlflow.utils import get_results_from_paginated_fn

    def page(size: int, token: str | None) -> Any:
        return search(query, max_results=size, page_token=token)

    return list(get_results_from_paginated_fn(page, _PAGE))


@contextmanager
def as_default(tracking: Tracking) -> Iterator[None]:
    """Make this store MLflow's global one for the block: a sqlite registry asks it for models.

    Afterwards the environment says what it said before, and MLflow asks it: whoever had set an
    address had it set there too.
    """
    import mlflow

    before = os.environ.get(_TRACKING_URI)
    mlflow.set_tracking_uri(tracking.uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        if before is not None:
            os.environ[_TRACKING_URI] = before


def redacted(text: str) -> str:
    """``text`` without the credentials of any address in it: user, password, query."""
    return re.sub(r"(?<=://)[^/\s]*@|(?<=\S)\?[^\s\"']*=[^\s\"']*", "", text)


def person() -> str:
    """Who is at work, for the tags that say who did something."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


@contextmanager
def without_mlflow_warnings() -> Iterator[None]:
    """Silence what MLflow warns of in its own code: type hints, deprecated calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sqlite_file(uri: str) -> Path | None:
    """The file behind a sqlite address; a file that is none is refused before MLflow tries it."""
    if not uri.startswith("sqlite:///"):
        return None
    path = Path(uri.removeprefix("sqlite:///").split("?")[0])
    if not path.parent.is_dir():
        raise UserError(f"{path}: no such folder for the tracking database; make it first")
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a tracking database")
    if path.exists() and path.stat().st_size:
        with path.open("rb") as stream:
            if stream.read(16) != b"SQLite format 3\0":
                raise UserError(f"{path}: not a sqlite database; name another tracking address")
    return path


def _answering_client(uri: str) -> "MlflowClient":
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    with without_mlflow_warnings():
        import mlflow.pyfunc  # noqa: F401  its import warns: once done here it is silent elsewhere
        from mlflow import MlflowClient

        for talkative in ("mlflow.store.db.utils", "alembic"):  # on making a database
            logging.getLogger(talkative).setLevel(logging.WARNING)
        try:
            with _one_attempt():
                client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                client.search_experiments(max_results=1)
        except Exception as fault:  # requests, sqlalchemy and mlflow each raise their own
            reason = redacted(" ".join(str(fault).split()))[:200]
            raise UserError(
                f"{redacted(uri)}: the tracking server does not answer ({reason}); "
                "start it, or give another address (MLFLOW_TRACKING_URI)"
            ) from None
    return client


@contextmanager
def _one_attempt() -> Iterator[None]:
    """MLflow retries for four minutes; a first call that fails is to say so at once."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    before = {key: os.environ.get(key) for key in limits}
    os.environ.update(limits)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
