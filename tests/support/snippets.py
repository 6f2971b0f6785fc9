"""Run a documentation's code as it is written, each piece as a module of its own."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

__all__ = ["Run", "run"]


class Run:
    """Runs a snippet as a module of its own, with its context as module globals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._count = 0

    def __call__(self, source: str, **context: Any) -> ModuleType:
        module, code = self._prepare(source, context)
        exec(code, vars(module))
        return module

    async def awaiting(self, source: str, **context: Any) -> ModuleType:
        module, code = self._prepare(source, context)
        result = eval(code, vars(module))
        if inspect.isawaitable(result):
            await result
        return module

    def _prepare(self, source: str, context: dict[str, Any]) -> tuple[ModuleType, CodeType]:
        self._count += 1
        module = ModuleType(f"snippet_{self._count}")
        self._monkeypatch.setitem(sys.modules, module.__name__, module)
        vars(module).update(context)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        return module, compile(source, module.__name__, "exec", flags, dont_inherit=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Give a runner whose working directory is empty."""
    monkeypatch.chdir(tmp_path)
    return Run(monkeypatch)
