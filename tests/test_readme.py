"""What the README says happens: its Python blocks run, its curl lines answer as printed."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.processes import started

README = Path(__file__).parent.parent / "README.md"
PAGES = [README, *sorted(README.parent.glob("docs/*.md"))]


def blocks(language: str, page: Path = README) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "number"),
    [
        pytest.param(page, number, id=f"{page.stem}-{number}")
        for page in PAGES
        for number in range(len(blocks("python", page)))
    ],
)
def test_every_python_block_runs(page: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTAPI_JWT_SECRET", "0123456789abcdef0123456789abcdef")

    exec(compile(blocks("python", page)[number], page.name, "exec", dont_inherit=True), {"__name__": "readme"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the first example as a user would, on a free port."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "main.py").write_text(blocks("python")[0])
    with started(["main.py"], folder / "log", cwd=folder, environment={}) as program:
        yield f"http://127.0.0.1:{program.port}"
        # uvicorn passes the signal on when it is done
        assert program.stop(patience=20) in (0, -signal.SIGTERM)


class Asked(NamedTuple):
    """What a curl line asks."""

    method: str
    path: str
    body: str | None
    headers: dict[str, str]


def curl_lines(block: str) -> list[tuple[Asked, str]]:
    """Return the request of each curl command of a block, with the answer printed below it."""
    pairs = re.findall(r"^(curl.*?)\n# (.*?)$", block.replace("\\\n", ""), re.MULTILINE)
    return [(_asked(shlex.split(command)), answer) for command, answer in pairs]


def _asked(command: list[str]) -> Asked:
    method, body, headers = "GET", None, {}
    for flag, value in pairwise(command):
        if flag == "-X":
            method = value
        elif flag == "-d":
            body = value
        elif flag == "-H":
            name, _, content = value.partition(": ")
            headers[name] = content
    path = next(word for word in command if word.startswith("http")).partition(":8000")[2]
    return Asked(method, path, body, headers)


def matches(printed: str, given: str) -> bool:
    """Compare an answer with one in which ``...`` stands for anything."""
    pattern = re.escape(printed).replace(re.escape(" ... "), ".*").replace(re.escape(", ...}"), ".*}")
    pattern = pattern.replace(re.escape(", ...}]}"), ".*").replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, given) is not None


def test_the_curl_lines_answer_as_printed(server: str) -> None:
    seen = []
    for asked, printed in curl_lines(next(block for block in blocks("bash") if block.startswith("curl"))):
        response = httpx.request(asked.method, server + asked.path, content=asked.body, headers=asked.headers)
        status, _, body = printed.partition(" ")
        seen.append(response.status_code)
        assert str(response.status_code) == status, (asked, response.text)
        assert matches(body, response.text), (body, response.text)
        _parses(response)
    assert seen == [201, 200, 200, 409, 204]


def _parses(response: httpx.Response) -> Any:
    return json.loads(response.content) if response.content else None
