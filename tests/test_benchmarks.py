"""The benchmark runs: its contenders give the right answers, and it prints what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import run, serving
from benchmarks.load import WORKLOADS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time is read from /proc"),
]


def test_a_quick_benchmark_measures_every_contender_on_every_workload(tmp_path: Path) -> None:
    report = tmp_path / "report.json"

    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--json", str(report)]
    done = subprocess.run(command, cwd=serving.ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    results = json.loads(report.read_text(encoding="utf-8"))
    assert list(results) == list(WORKLOADS)
    for by_name in results.values():
        assert list(by_name) == list(run.CONTENDERS)
        assert all(row["cpu_us"] > 0 and row["rps"] > 0 for row in by_name.values())
        assert by_name[run.CONTENDERS[0]]["ratio"] == 1
    assert done.stdout.count("\n| ") == len(WORKLOADS) * len(run.CONTENDERS) + 1


def test_a_contender_that_answers_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = serving.Contender("right", 1, 1)
    wrong = serving.Contender("wrong", 2, 2)
    rows = [{"id": number} for number in range(run.SHORT_LIST)]
    answered: dict[str, run.Answer] = {name: (workload.status, {}) for name, workload in WORKLOADS.items()}
    answered |= {"get_one": (200, {"id": 77}), "list_20": (200, {"results": rows})}
    answers = {right: answered, wrong: {**answered, "create": (201, {"title": "another"})}}
    monkeypatch.setattr(run, "answers", answers.__getitem__)

    run.check([right, right])
    with pytest.raises(SystemExit, match="wrong create"):
        run.check([right, wrong])


def test_the_commands_of_both_callers_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    run.main(["redis", "--rounds", "1", "--commands", "20"])

    _, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| threads", "| event loop"]
    assert all(float(row.rstrip(" |").rpartition(" ")[2]) > 0 for row in rows)
