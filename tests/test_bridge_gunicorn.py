"""Behind a real gunicorn the bridge stays alive, idle and clean, whatever arrives on the socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import eventually, free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
WAIT = 30
KINDS = {
    "sync": ["-k", "sync"],
    "sync preloaded": ["-k", "sync", "--preload"],
    "gthread": ["-k", "gthread", "--threads", "4"],
    "gthread preloaded": ["-k", "gthread", "--threads", "4", "--preload"],
    "gevent": ["-k", "gevent"],
    "gevent preloaded": ["-k", "gevent", "--preload"],
}
THREADED = [kind for kind in KINDS if "gthread" in kind]
GRACE = 3


@dataclass
class Server:
    """One gunicorn master with one worker, as a client and as a process."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    serves_one_at_a_time: bool

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT)

    def exchange(self, raw: bytes, *, finish: bool = False) -> tuple[int, bytes]:
        """Send raw bytes and return status and body; ``finish`` closes our side of the connection first."""
        with self.connect() as connection:
            connection.sendall(raw)
            if finish:
                connection.shutdown(socket.SHUT_WR)
            return split(received(connection))

    def get(self, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
        return self.exchange(request(path, *headers, "Connection: close", method=method))

    def report(self) -> Any:
        return json.loads(self.get("/report")[1])

    def cpu_seconds(self) -> float:
        """Return the CPU time that the worker has used."""
        fields = Path(f"/proc/{self.report()['pid']}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def assert_well(self) -> None:
        """Check that the next request is answered at once and that the worker has nothing to do."""
        before = self.cpu_seconds()
        begun = time.monotonic()
        assert self.get("/hello")[0] == 200
        assert time.monotonic() - begun < 5
        time.sleep(0.5)
        assert self.cpu_seconds() - before < 0.25
        assert self.report()["tasks"] == 3, "the root task, the lifespan's and the report's own"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT)

    def events(self) -> list[str]:
        path = self.folder / "events"
        return [line.rsplit(" ", 1)[0] for line in path.read_text().splitlines()] if path.exists() else []


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def alive(pid: int) -> bool:
    """Say whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def received(connection: socket.socket) -> bytes:
    pieces = b""
    while piece := connection.recv(65536):
        pieces += piece
    return pieces


def split(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def start(kind: str, folder: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "tests.apps.bridge_probe:application", "-b", f"127.0.0.1:{port}"]
    command += ["--graceful-timeout", str(GRACE), "--no-control-socket", "--worker-tmp-dir", str(folder), *KINDS[kind]]
    environment = {**os.environ, "BRIDGE_LOG": str(folder / "events"), "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file)
    server = Server(process, port, folder, kind.startswith("sync"))
    try:
        eventually(lambda: process.poll() is None and answers(server))
    except BaseException:
        process.kill()
        raise
    return server


def answers(server: Server) -> bool:
    try:
        return server.get("/hello")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module", params=list(KINDS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give one running gunicorn for each kind of worker."""
    running = start(request.param, tmp_path_factory.mktemp("gunicorn"))
    yield running
    end(running)


@pytest.fixture(params=list(KINDS))
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Give a gunicorn that the test may stop."""
    running = start(request.param, tmp_path)
    yield running
    end(running)


def end(server: Server) -> None:
    if server.process.poll() is None:
        server.process.terminate()
        try:
            server.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()


def test_a_truncated_body_is_a_400_and_the_worker_is_idle_afterwards(server: Server) -> None:
    raw = request("/echo", "Content-Length: 1000", method="POST", body=b"12345")

    assert server.exchange(raw, finish=True) == (400, b'{"detail":"the body ended before its declared length"}')
    server.assert_well()


def test_many_clients_that_vanish_in_their_bodies_cost_no_thread(server: Server) -> None:
    for _ in range(12):
        with server.connect() as connection:
            connection.sendall(request("/echo", "Content-Length: 1000", method="POST", body=b"12345"))

    server.assert_well()


def test_a_chunked_body_arrives(server: Server) -> None:
    chunks = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    raw = request("/echo", "Transfer-Encoding: chunked", "Connection: close", method="POST", body=chunks)
    status, body = server.exchange(raw)

    assert (status, json.loads(body)) == (200, {"length": 7, "start": "abcdefg", "path": "/echo"})


def test_a_chunked_body_beyond_the_limit_is_a_413(server: Server) -> None:
    chunks = b"11170\r\n" + b"x" * 0x11170 + b"\r\n0\r\n\r\n"
    raw = request("/echo", "Transfer-Encoding: chunked", "Connection: close", method="POST", body=chunks)
    status, body = server.exchange(raw)

    assert (status, json.loads(body)) == (413, {"detail": "body too large (limit 1000 bytes)"})
    server.assert_well()


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\nabc\r\n", b"5\r\nab", b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nbad trailer\r\n\r\n"],
    ids=["size", "cut short", "length", "trailer"],
)
def test_broken_chunks_are_a_400(server: Server, chunks: bytes) -> None:
    raw = request("/echo", "Transfer-Encoding: chunked", method="POST", body=chunks)

    assert server.exchange(raw, finish=True) == (400, b'{"detail":"the body could not be read"}')
    server.assert_well()


@pytest.mark.parametrize("length", ["abc", "-5", "+5", "5_0", "\xb3"])
def test_a_bad_content_length_is_a_400(server: Server, length: str) -> None:
    raw = request("/echo", f"Content-Length: {length}", "Connection: close", method="POST", body=b"12345")

    assert server.exchange(raw)[0] == 400
    server.assert_well()


def test_a_path_that_is_not_utf8_reaches_the_app(server: Server) -> None:
    status, body = server.get("/%ff")

    assert (status, json.loads(body)["path"]) == (200, "/\ufffd")


def test_head_has_no_body(server: Server) -> None:
    assert server.get("/hello", method="HEAD") == (200, b"")


def test_every_cookie_is_kept_and_the_client_has_an_address(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(request("/cookies", "Connection: close"))
        answer = received(connection)

    assert answer.count(b"set-cookie: ") == 2
    assert json.loads(split(answer)[1])["client"][0] == "127.0.0.1"


def test_a_failure_is_a_500_with_its_traceback_in_the_log(server: Server) -> None:
    assert server.get("/fail") == (500, b'{"detail":"internal server error"}')
    assert "ValueError: broken at once" in server.log.read_text()


def test_a_failure_in_mid_stream_leaves_the_answer_without_its_end(server: Server) -> None:
    status, body = server.get("/broken-stream")

    assert status == 200
    assert body.startswith(b"5\r\nfirst\r\n")
    assert not body.endswith(b"0\r\n\r\n")
    server.assert_well()


def test_the_first_piece_of_a_stream_comes_at_once(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(request("/slow", "Connection: close"))
        answer = b""
        while b"first" not in answer:
            answer += connection.recv(65536)

        assert b"last" not in answer
        assert b"last" in received(connection)


def test_a_client_that_leaves_a_stream_ends_it(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(request("/stream"))
        connection.recv(1000)

    eventually(lambda: server.report()["happened"][-1:] == ["stream left"])
    server.assert_well()


def test_a_client_that_does_not_read_holds_the_stream_back(server: Server) -> None:
    if server.serves_one_at_a_time:
        pytest.skip("a sync worker serves one client, and that one does not read")

    def is_held_back() -> bool:
        before = server.report()["happened"]
        time.sleep(0.3)
        return bool(before and before == server.report()["happened"])

    with server.connect() as connection:
        connection.sendall(request("/stream"))
        connection.recv(1000)
        eventually(is_held_back)

    eventually(lambda: server.report()["happened"][-1:] == ["stream left"])


def test_background_tasks_run_after_the_answer(server: Server) -> None:
    assert server.get("/background")[0] == 202
    assert "background done" not in server.events()
    eventually(lambda: "background done" in server.events())


def test_a_burst_of_requests_makes_one_loop(own_server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: own_server.get("/hello")[0], range(40)))

    assert answers == [200] * 40
    assert own_server.events() == ["startup"]


def test_a_stopped_server_finishes_background_tasks_and_the_lifespan(own_server: Server) -> None:
    own_server.get("/background")

    assert own_server.stop() == 0
    assert own_server.events() == ["startup", "background done", "shutdown"]


def test_a_request_that_never_ends_does_not_outlive_the_graceful_timeout(own_server: Server) -> None:
    pid = own_server.report()["pid"]
    hanging = own_server.connect()
    hanging.sendall(request("/sleep"))
    time.sleep(0.3)
    begun = time.monotonic()

    own_server.stop()

    assert time.monotonic() - begun < GRACE + 10
    eventually(lambda: not alive(pid), WAIT)
    hanging.close()


@pytest.mark.parametrize("kind", THREADED)
def test_a_worker_without_a_master_ends_though_a_request_never_does(kind: str, tmp_path: Path) -> None:
    server = start(kind, tmp_path)
    pid = server.report()["pid"]
    hanging = server.connect()
    hanging.sendall(request("/sleep"))
    time.sleep(0.3)

    server.process.kill()
    server.process.wait()

    try:
        eventually(lambda: not alive(pid), GRACE + 25)
    finally:
        hanging.close()
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert server.events()[-1] == "shutdown"
