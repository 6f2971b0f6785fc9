"""The import rule holds in the package, and the check sees what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_layers import PACKAGE, ROOT, problems, rank_of

RANKED = {"exceptions": 1, "plan": 1, "http.message": 2, "schema": 2, "db.crud": 3, "filters": 3, "auth": 4}
RANKED |= {"http.pipeline": 4, "endpoint": 4, "adapters.wsgi": 5, "app": 5, "cli.main": 5}


def package(folder: Path, **files: str) -> Path:
    """Write a package of these files; a double underscore stands for a folder."""
    for name, text in files.items():
        path = folder / PACKAGE / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / PACKAGE


def test_the_package_keeps_the_rule() -> None:
    assert problems(ROOT / PACKAGE) == []


@pytest.mark.parametrize(("module", "rank"), RANKED.items(), ids=list(RANKED))
def test_every_rank_is_known(module: str, rank: int) -> None:
    assert rank_of(module) == rank


def test_the_same_rank_and_the_ranks_above_may_be_imported(tmp_path: Path) -> None:
    root = package(tmp_path, app="from lightapi.core import x\nimport lightapi.plan", core="x = 1", plan="")

    assert problems(root) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import lightapi.app",
        "from lightapi.app import x",
        "from lightapi import app",
        "from . import app",
        "from .app import x",
    ],
)
def test_a_lower_rank_may_not_be_imported(tmp_path: Path, statement: str) -> None:
    root = package(tmp_path, plan=f"\n{statement}", app="")

    assert problems(root) == ["lightapi/plan.py:2: plan (rank 1) imports app (rank 5)"]


def test_dots_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    root = package(tmp_path, http__body="from ..plan import x\nfrom .pipeline import y", http__pipeline="", plan="")

    assert problems(root) == ["lightapi/http/body.py:2: http.body (rank 2) imports http.pipeline (rank 4)"]


def test_a_cycle_inside_a_rank_is_found(tmp_path: Path) -> None:
    root = package(
        tmp_path,
        plan="import lightapi.config",
        config="from lightapi import exceptions",
        exceptions="from .plan import x",
    )

    assert problems(root) == ["cycle: config -> exceptions -> plan -> config"]


def test_what_only_a_type_checker_imports_makes_no_cycle(tmp_path: Path) -> None:
    typing = "if TYPE_CHECKING:\n    from lightapi.config import x"
    root = package(tmp_path, plan=typing, config="import lightapi.plan")

    assert problems(root) == []


def test_what_only_a_type_checker_imports_is_held_to_the_ranks(tmp_path: Path) -> None:
    root = package(tmp_path, plan="if TYPE_CHECKING:\n    from lightapi.app import x", app="")

    assert problems(root) == ["lightapi/plan.py:2: plan (rank 1) imports app (rank 5)"]


def test_an_import_inside_a_function_is_found(tmp_path: Path) -> None:
    root = package(tmp_path, app="class A:\n    def run(self):\n        if True:\n            import json")

    assert problems(root) == [
        "lightapi/app.py:4: imports json inside run(): only optional and heavy packages may be imported late"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "import redis.asyncio",
        "import uvicorn",
        "from sqlalchemy.ext.asyncio import AsyncEngine",
        "from sqlalchemy.ext import asyncio",
    ],
)
def test_optional_and_heavy_packages_may_be_imported_late(tmp_path: Path, statement: str) -> None:
    root = package(tmp_path, app=f"def run():\n    {statement}")

    assert problems(root) == []


def test_public_names_may_be_imported_late_on_demand(tmp_path: Path) -> None:
    root = package(tmp_path, app="x = 1")
    (root / "__init__.py").write_text("def __getattr__(name):\n    from lightapi.app import x\n    return x")

    assert problems(root) == []


def test_no_file_imports_the_gathered_names(tmp_path: Path) -> None:
    root = package(tmp_path, app="from lightapi import LightApi")

    assert problems(root) == [
        "lightapi/app.py:1: imports from lightapi itself instead of from the module that defines the name"
    ]


@pytest.mark.parametrize("stranger", ["sqlalchemy.orm", "redis"])
def test_the_core_knows_no_database_and_no_cache(tmp_path: Path, stranger: str) -> None:
    root = package(tmp_path, http__pipeline=f"import {stranger}")

    assert problems(root) == [f"lightapi/http/pipeline.py:1: imports {stranger}, which http.pipeline must not know"]


def test_a_file_without_a_rank_is_found(tmp_path: Path) -> None:
    root = package(tmp_path, helpers="")

    assert problems(root) == ["lightapi/helpers.py:1: has no rank; give 'helpers' one in tools/check_layers.py"]
