"""A Kubeflow Pipelines that keeps every request and runs nothing."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Cluster:
    """Requests as (method, path, authorization, body), and the state that runs are in."""

    def __init__(self, run: str = "r1") -> None:
        self.run = run
        self.requests: list[tuple[str, str, str | None, Any]] = []
        self.state = "RUNNING"
        self.refuses = False

    def answer(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        if self.refuses and "healthz" not in path:
            return 401, {}
        place = path.split("?")[0].removeprefix("/apis/v2beta1/")
        error = {"code": 9, "message": "train ran out of memory"} if self.state == "FAILED" else {}
        tasks = [{"display_name": "train", "state": s} for s in ("SUCCEEDED", self.state)]
        return 200, {
            ("GET", "healthz"): {"multi_user": False},
            ("GET", "experiments"): {"experiments": []},
            ("POST", "experiments"): {"experiment_id": "e1", "display_name": "counterpoint"},
            ("POST", "runs"): {"run_id": self.run},
            ("GET", f"runs/{self.run}"): {
                "run_id": self.run,
                "state": self.state,
                "error": error or None,
                "run_details": {"task_details": tasks},
            },
            ("POST", "recurringruns"): {"recurring_run_id": "j1"},
        }.get((method, place), {})

    def sent(self, path: str) -> Any:
        """The body of the one POST there."""
        (body,) = [b for method, p, _, b in self.requests if method == "POST" and p.endswith(path)]
        return body


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Let it answer on a free port of this machine, and give the address."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            sent = (self.command, self.path, self.headers.get("Authorization"), body)
            cluster.requests.append(sent)
            code, answer = cluster.answer(self.command, self.path)
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
