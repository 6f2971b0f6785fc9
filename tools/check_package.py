"""Check what a built wheel and sdist hold: the wheel the package alone, the sdist all that a contributor needs."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("lightapi", "adapters", "benchmarks", "deploy", "docs", "examples", "tests", "tools")
FILES = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "constraints.txt", "dev.py")


def problems(folder: Path) -> list[str]:
    """List what is wrong with the one wheel and the one sdist in the folder."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        return [f"{folder} holds {len(wheels)} wheels and {len(sdists)} sdists"]
    with zipfile.ZipFile(wheels[0]) as wheel:
        return _wrong_in_wheel(wheel.namelist()) + _wrong_in_sdist(sdists[0])


def _wrong_in_wheel(names: list[str]) -> list[str]:
    tops = {PurePosixPath(name).parts[0] for name in names}
    strange = sorted(top for top in tops if top != "lightapi" and not top.endswith(".dist-info"))
    found = [f"the wheel holds {top}" for top in strange]
    if "lightapi/py.typed" not in names:
        found.append("the wheel lacks lightapi/py.typed")
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        found.append("the wheel lacks the licence")
    return found


def _wrong_in_sdist(path: Path) -> list[str]:
    with tarfile.open(path) as sdist:
        held = {PurePosixPath(name).parts[1] for name in sdist.getnames() if "/" in name}
    # A folder that the project has not got yet cannot be left out.
    return [f"the sdist lacks {name}" for name in (*FOLDERS, *FILES) if (ROOT / name).exists() and name not in held]


if __name__ == "__main__":
    wrong = problems(Path(sys.argv[1]))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(bool(wrong))
