"""The lists of versions: they pin what is declared, and name no place where packages come from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LISTS = ("constraints.txt", "tests/floors.txt", "tests/py310.txt")
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(text)
    for text in [
        *PROJECT["dependencies"],
        *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
    ]
    if not text.startswith("lightapi")
]


def pinned(file: str) -> dict[str, set[Version]]:
    """Read a list: the versions of each package, of which markers choose one."""
    found: dict[str, set[Version]] = {}
    for line in (ROOT / file).read_text().splitlines():
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        found.setdefault(canonicalize_name(requirement.name), set()).add(Version(specifier.version))
    return found


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_every_declared_floor_is_the_version_that_is_tested(requirement: Requirement) -> None:
    floors = [Version(specifier.version) for specifier in requirement.specifier if specifier.operator == ">="]

    assert pinned("tests/floors.txt")[canonicalize_name(requirement.name)] == set(floors)


@pytest.mark.parametrize("requirement", DECLARED, ids=str)
def test_every_dependency_is_constrained(requirement: Requirement) -> None:
    versions = pinned("constraints.txt")[canonicalize_name(requirement.name)]

    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("file", LISTS)
def test_a_list_holds_versions_and_markers_only(file: str) -> None:
    line = re.compile(r"[a-z0-9-]+==[0-9a-z.]+( ; [a-z_<>=!' .0-9A-Z]+)?")

    assert [text for text in (ROOT / file).read_text().splitlines() if not line.fullmatch(text)] == []
