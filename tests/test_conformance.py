"""The conformance list is sound, and the check sees what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_conformance import LIST, ROOT, problems

TESTS = """
import sys

def test_plain(): ...
async def test_waiting(): ...
def helper(): ...
class TestBooks:
    def test_method(self): ...
if sys.platform:
    def test_conditional(): ...
def factory():
    def test_hidden(): ...
"""


def entry(**changes: object) -> str:
    """Write a sound entry with these values changed; None leaves a key out."""
    values: dict[str, object] = {"id": "a", "source": "rules", "says": "b", "tests": ["tests/test_a.py::test_plain"]}
    lines = [f"{key} = {value!r}" for key, value in {**values, **changes}.items() if value is not None]
    return "\n".join(["[[entry]]", *lines, ""])


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(TESTS)
    return tmp_path / "conformance.toml"


def test_the_list_is_sound() -> None:
    assert problems(LIST, ROOT) == []


@pytest.mark.parametrize(
    "test", ["test_plain", "test_plain[asgi]", "test_waiting", "TestBooks::test_method", "test_conditional"]
)
def test_a_test_that_exists_is_found(listed: Path, test: str) -> None:
    listed.write_text(entry(tests=[f"tests/test_a.py::{test}"]))

    assert problems(listed, listed.parent) == []


@pytest.mark.parametrize("test", ["test_other", "test_method", "TestBooks::test_plain", "helper", "test_hidden"])
def test_a_test_that_does_not_exist_is_a_problem(listed: Path, test: str) -> None:
    listed.write_text(entry(tests=[f"tests/test_a.py::{test}"]))

    assert problems(listed, listed.parent) == [f"a: tests/test_a.py has no {test}"]


@pytest.mark.parametrize("file", ["tests/test_b.py", "README.md", "tests"])
def test_a_file_that_does_not_exist_is_a_problem(listed: Path, file: str) -> None:
    listed.write_text(entry(tests=[f"{file}::test_plain"]))

    assert problems(listed, listed.parent) == [f"a: {file} does not exist"]


@pytest.mark.parametrize("key", ["source", "says", "tests"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_or_empty_key_is_a_problem(listed: Path, key: str, value: str | None) -> None:
    listed.write_text(entry(**{key: value}))

    assert f"a: {key} is missing or empty" in problems(listed, listed.parent)


def test_an_entry_without_tests_is_a_problem(listed: Path) -> None:
    listed.write_text(entry(tests=[]))

    assert problems(listed, listed.parent) == ["a: tests is missing or empty"]


def test_an_id_used_twice_is_a_problem(listed: Path) -> None:
    listed.write_text(entry() + entry())

    assert problems(listed, listed.parent) == ["a: used twice"]


def test_an_unknown_key_is_a_problem(listed: Path) -> None:
    listed.write_text(entry(test="x"))

    assert problems(listed, listed.parent) == ["a: unknown key 'test'; allowed: id, source, says, tests"]


def test_a_list_that_is_no_toml_is_a_problem(listed: Path) -> None:
    listed.write_text("[[entry")

    assert problems(listed, listed.parent)[0].startswith("conformance.toml: ")


@pytest.mark.parametrize("text", [None, "", "title = 'x'"])
def test_no_list_or_an_empty_one_is_a_problem(listed: Path, text: str | None) -> None:
    if text is not None:
        listed.write_text(text)

    assert len(problems(listed, listed.parent)) == 1
