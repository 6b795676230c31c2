"""When each task of a study starts, whatever carries them out."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from scalespace.errors import InputError
from scalespace.studies import schedule
from scalespace.studies.logs import Tail, log_path, logged
from scalespace.studies.plan import Task
from scalespace.studies.schedule import carry_out


def task(name: str, *needs: Task, alone: bool = False) -> Task:
    return Task("score", name, {}, needs, alone)


class Stepwise:
    """An executor that finishes a task, the last that it was given, each time it is asked for news.

    Args:
        slots: one number for all the time, or a number for each look.
        wrong: names of tasks that fail.
    """

    def __init__(self, *slots: int, wrong: tuple[str, ...] = ()) -> None:
        self.left, self.wrong = list(slots), wrong
        self.running: list[tuple[Task, Future[None]]] = []
        self.begun: list[str] = []
        self.beside: list[set[str]] = []
        self.ended_by: type[BaseException] | None = None
        self.open = False

    @property
    def slots(self) -> int:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]

    def submit(self, one: Task) -> Future[None]:
        assert self.open
        future: Future[None] = Future()
        self.running.append((one, future))
        self.begun.append(one.name)
        self.beside.append({other.name for other, _ in self.running})
        return future

    def news(self) -> list[str]:
        if self.running:
            one, future = self.running.pop()
            if one.name in self.wrong:
                future.set_exception(InputError(f"{one.name} went wrong"))
            else:
                future.set_result(None)
        return []

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.open, self.ended_by = False, kind


Carry = Callable[[list[Task], Stepwise], list[str]]


@pytest.fixture
def carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Carry:
    monkeypatch.setattr(schedule, "LOOK_SECONDS", 0.0)

    def run(tasks: list[Task], executor: Stepwise) -> list[str]:
        told: list[str] = []
        done: list[Task] = []
        plan = SimpleNamespace(title=lambda task: task.name)
        context: Any = SimpleNamespace(folder=tmp_path, plan=plan)
        try:
            carry_out(context, tasks, executor, told.append, done.append)
        finally:
            ended = [line.split("] ")[1].rsplit(":")[0] for line in told if line[0] == "["]
            assert [task.name for task in done] == ended
            assert not list(tmp_path.iterdir())
        return told

    return run


def test_a_task_waits_for_those_that_it_needs(carry: Carry) -> None:
    a, b = task("a"), task("b")
    tasks = [a, b, task("both", a, b), task("after a", a), task("done before", task("gone"))]
    executor = Stepwise(5)
    told = carry(tasks, executor)
    begun = executor.begun
    assert begun[:3] == [
        "a",
        "b",
        "done before",
    ]  # what it needs is not among the tasks: it is there
    assert sorted(begun) == sorted(one.name for one in tasks)
    for one in tasks:
        for need in one.needs:
            for beside, name in zip(executor.beside, begun, strict=True):
                assert name != one.name or need.name not in beside
    assert [line.split()[0] for line in told if line.startswith("[")] == [
        f"[{k}/5]" for k in range(1, 6)
    ]


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_no_more_than_there_is_room_for(slots: int, carry: Carry) -> None:
    executor = Stepwise(slots)
    carry([task(str(k)) for k in range(7)], executor)
    assert max(map(len, executor.beside)) == slots
    assert executor.begun == [str(k) for k in range(7)]


def test_room_may_come_and_go(carry: Carry) -> None:
    executor = Stepwise(0, 0, 3, 3, 0, 1)
    carry([task(str(k)) for k in range(6)], executor)
    assert len(executor.begun) == 6
    assert max(map(len, executor.beside)) == 3


def test_what_measures_time_runs_alone(carry: Carry) -> None:
    executor = Stepwise(3)
    carry([task("a"), task("timed", alone=True), task("b"), task("c", task("a"))], executor)
    beside = dict(zip(executor.begun, executor.beside, strict=True))
    assert beside["timed"] == {"timed"}
    assert all("timed" not in names for name, names in beside.items() if name != "timed")


def test_nothing_starts_after_a_failure(carry: Carry) -> None:
    executor = Stepwise(1, wrong=("1",))
    with pytest.raises(InputError, match="1 went wrong"):
        carry([task(str(k)) for k in range(4)], executor)
    assert executor.begun == ["0", "1"]
    assert executor.ended_by is InputError


def test_a_status_of_many_tasks_is_one_short_line(
    carry: Carry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "STATUS_SECONDS", -1.0)

    class Slow(Stepwise):
        looks = 0

        def news(self) -> list[str]:
            self.looks += 1
            return super().news() if self.looks > 2 else []

    told = carry([task(str(k)) for k in range(100)], Slow(100))
    assert "0; 1; 2; 3; 4; 5; 6; 7; and 92 more" in told


def test_logs_are_told_line_by_line_without_bars(tmp_path: Path) -> None:
    path = log_path(tmp_path, "a")
    path.parent.mkdir()
    path.write_text("of an earlier run\n")
    tail = Tail(tmp_path)
    for name in ("a", "absent"):
        tail.follow(name)
    assert tail.lines("a") == tail.lines("absent") == []
    with open(path, "ab") as file:
        file.write("one\n\ntwo: é\r 10 %\r 20 %\nhal".encode())
        file.flush()
        assert tail.lines("a") == ["one"]
        file.write(b"f\n\xff\n" + b"x" * 5000 + b"\n")
    assert tail.lines("a")[:2] == ["half", "�"]
    assert tail.lines("a") == []


def test_a_log_takes_what_any_library_prints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logs" / "a.log"
    for word in ("first", "second"):
        with logged(path):
            os.write(2, f"{word}\n".encode())
    os.write(1, b"after\n")
    assert path.read_text() == "first\nsecond\n"
    assert capfd.readouterr().out == "after\n"
