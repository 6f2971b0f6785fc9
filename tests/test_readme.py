"""What the README says happens: its Python blocks run, its curl lines answer as printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.split("\n", 1)[0][:40])
def test_every_python_block_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    exec(compile(block, "README.md", "exec", dont_inherit=True), {"__name__": "readme"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the first example as a user would, on a free port."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "main.py").write_text(blocks("python")[0])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "LIGHTAPI_PORT": str(port), "PYTHONPATH": str(README.parent)}
    process = subprocess.Popen([sys.executable, "main.py"], cwd=folder, env=environment)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            httpx.get(f"{url}/healthz")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield url
    process.terminate()
    assert process.wait(20) in (0, -signal.SIGTERM)  # uvicorn passes the signal on when it is done


def commands() -> list[tuple[list[str], str]]:
    """Return each curl command of the README with the answer printed below it."""
    block = next(block for block in blocks("bash") if block.startswith("curl"))
    pairs = re.findall(r"^(curl.*?)\n# (.*?)$", block.replace("\\\n", ""), re.MULTILINE)
    return [(shlex.split(command), answer) for command, answer in pairs]


def matches(printed: str, given: str) -> bool:
    """Compare an answer with one in which ``...`` stands for anything."""
    pattern = re.escape(printed).replace(re.escape(" ... "), ".*").replace(re.escape(", ...}"), ".*}")
    pattern = pattern.replace(re.escape(", ...}]}"), ".*").replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, given) is not None


def test_the_curl_lines_answer_as_printed(server: str) -> None:
    seen = []
    for command, printed in commands():
        method, data, headers = "GET", None, {}
        for flag, value in pairwise(command):
            if flag == "-X":
                method = value
            elif flag == "-d":
                data = value
            elif flag == "-H":
                name, _, content = value.partition(": ")
                headers[name] = content
        path = next(word for word in command if word.startswith("http")).partition(":8000")[2]
        response = httpx.request(method, server + path, content=data, headers=headers)
        status, _, body = printed.partition(" ")
        seen.append(response.status_code)
        assert str(response.status_code) == status, (command, response.text)
        assert matches(body, response.text), (body, response.text)
        _parses(response)
    assert seen == [201, 200, 200, 409, 204]


def _parses(response: httpx.Response) -> Any:
    return json.loads(response.content) if response.content else None
