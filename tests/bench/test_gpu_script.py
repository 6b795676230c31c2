"""`benchmarks/gpu.py`, as far as a CPU goes: its whole way in small, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from loaded import script
from scalespace.errors import InputError

CPU = torch.device("cpu")


@pytest.fixture
def gpu() -> ModuleType:
    return script("benchmarks/gpu.py")


def called(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    gpu.main()


@pytest.mark.slow
def test_the_whole_way_in_small(
    gpu: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All but the study, for which another program stands."""
    commands: list[list[str]] = []

    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(words)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(gpu.subprocess, "run", run)
    called(gpu, monkeypatch, "--device", "cpu", "--tiny", "--out", str(tmp_path))
    found = json.loads((tmp_path / "gpu.json").read_text())
    rows: dict[str, list[Any]] = {row["section"]: [] for row in found["rows"]}
    for row in found["rows"]:
        rows[row["section"]].append(row)
    assert list(rows) == ["images", "latency", "scoring", "training", "study"]
    assert all(row["median"] == 0 and row["reached"] for row in rows["images"])  # torch by torch
    assert len(rows["latency"]) == len(rows["images"]) == 4
    assert [row["case"] for row in rows["training"]] == ["baseline", "small", "upscaler"]
    alone, together, ratio = (row["median"] for row in rows["scoring"])
    assert ratio == pytest.approx(alone / together)
    (command,) = commands
    assert command[1:4] == ["-m", "scalespace", "study"]
    assert command[command.index("--device") + 1] == "cpu"
    out = capsys.readouterr().out
    assert out.strip() == (tmp_path / "gpu.md").read_text().strip()
    assert out.count("\n## ") == 5
    assert "| at least 4 |" in out
    assert set(found) == {"machine", "versions", "cuda", "rows"}


@pytest.mark.slow
def test_a_study_in_small(gpu: ModuleType, tmp_path: Path) -> None:
    run = gpu.Run(CPU, engine="torch", study=gpu.TINY_STUDY, jobs=1)
    (row,) = gpu.measure(run, ["study"], tmp_path)["rows"]
    assert row["median"] > 0
    assert "error" not in row


def test_the_paper_s_calls_and_what_ships_are_timed(gpu: ModuleType) -> None:
    names = list(gpu.Run(CPU).models())
    assert names[0] == "baseline, 29 calls"
    assert names[-1] == "cascaded-fast, 2 calls"
    assert len(names) == 5


def test_a_section_that_fails_leaves_the_others(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def bad(run: Any) -> Iterator[Any]:
        """Fails."""
        yield {"case": "half", "unit": "s", "median": 1.0, "n": 1}
        raise InputError("no data")

    def good(run: Any) -> Iterator[Any]:
        """Works."""
        yield {"case": "whole", "unit": "s", "median": 2.0, "n": 1} | gpu._aim(2.0, most=1)

    monkeypatch.setattr(gpu, "SECTIONS", {"bad": bad, "good": good})
    found = gpu.measure(gpu.Run(CPU), ["bad", "good"], tmp_path)
    assert [row.get("error", row.get("case")) for row in found["rows"]] == [
        "half",
        "no data",
        "whole",
    ]
    text = (tmp_path / "gpu.md").read_text()
    assert "| failed: no data |" in text
    assert "| whole | 2 s | | 1 | at most 1 | missed |" in text.replace("|  |", "| |")


def test_a_study_that_fails_is_told_in_its_last_line(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 2, "", "started\nno data folder\n")

    monkeypatch.setattr(gpu.subprocess, "run", run)
    with pytest.raises(InputError, match=r"^no data folder$"):
        list(gpu.study(gpu.Run(CPU)))


def test_aims(gpu: ModuleType) -> None:
    assert gpu._aim(2.0, most=2) == {"aim": "at most 2", "reached": True}
    assert gpu._aim(3.9, least=4) == {"aim": "at least 4", "reached": False}


def test_without_a_gpu(
    gpu: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        called(gpu, monkeypatch, "--out", str(tmp_path / "out"))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "device cuda: this machine has none that torch can use\n"
    assert not (tmp_path / "out").exists()


def test_an_unknown_section(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        called(gpu, monkeypatch, "--device", "cpu", "--sections", "images,letancy")
    assert ended.value.code == 2
    assert "no section 'letancy': choose among images, latency" in capsys.readouterr().err
