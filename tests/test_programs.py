"""Tests that need a program: skipped and named where it is missing, failed where the run requires it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.processes import ROOT

TEST = "tests/test_docs_browser.py::test_the_page_fits_a_phone"
LINE = "skipped, because this machine has none: browser (1)"


@pytest.mark.slow
@pytest.mark.parametrize(("required", "status", "said"), [("", 0, LINE), ("node,browser", 1, "needs browser")])
def test_a_missing_program(required: str, status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TEST],
        cwd=ROOT,
        env={**os.environ, "PATH": "", "LIGHTAPI_TEST_REQUIRE": required},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, said in done.stdout) == (status, True), done.stdout
