"""A public generator makes a TypeScript client of the document, and the compiler accepts it and its use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.typescript import SOURCE, Failed, installed, run

pytestmark = [pytest.mark.node, pytest.mark.slow]
# A field with a default may be left out of what is sent; the generator takes it for required unless told so.
GENERATE = ("node_modules/.bin/openapi-typescript", "--default-non-nullable=false")
COMPILE = ("node_modules/.bin/tsc", "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext")


@pytest.fixture(scope="module")
def packages() -> Path:
    """Give the folder of the packages; a machine that can't reach them counts as one without npm."""
    try:
        return installed()
    except Failed as failure:
        if "node" in os.environ.get("LIGHTAPI_TEST_REQUIRE", "").split(","):
            raise
        pytest.skip(f"needs node, and its packages could not be installed: {failure}")


def test_a_generated_client_compiles(packages: Path, tmp_path: Path) -> None:
    code = "import json; from tests.apps.documented import app; print(json.dumps(app.openapi()))"
    environment = {**os.environ, "LIGHTAPI_DATABASE_URL": "sqlite://", "LIGHTAPI_JWT_SECRET": "0" * 32}
    document = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    (tmp_path / "openapi.json").write_bytes(document.stdout)
    (tmp_path / "node_modules").symlink_to(packages)
    shutil.copy(SOURCE / "use.ts", tmp_path)

    run(*GENERATE, "openapi.json", "--output", "api.d.ts", cwd=tmp_path)
    run(*COMPILE, "use.ts", cwd=tmp_path)
