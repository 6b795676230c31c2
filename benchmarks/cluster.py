"""How a study scales from 1 to 1,000 workers: its tasks, their measured times, a simulated clock.

    python benchmarks/cluster.py runs/frontier --seeds 3,30 --workers 1,10,100,1000

Reads a study's folder, makes its plan anew, and lets workers take the tasks by the rule of
`scalespace.studies.schedule`: in the plan's order, once those that they need are done; the task
that measures time alone. Each worker is as fast as the processes that the times were measured in.
Its first task takes `--start` seconds longer, in which its process loads torch and the data.

A task takes the time that its result tells. Results of before November 2026 do not tell it: there a
training takes its recorded `train_seconds`, and any other task the median, over the tasks of its
kind (and metric), of the time from the end of the task before on the same process, as the files'
times give it for a study that ran `--jobs` tasks side by side. So does a task that the study did
not have, such as one of a further seed; a training takes the mean over its stage's.

Times are those of the critical path (the longest chain of tasks that need one another), and of all
workers: how long the study takes, how many times faster that is than one worker, and which share of
the workers' time is work.
"""

from __future__ import annotations

import argparse
import heapq
import json
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import fmean, median

from scalespace.config import Config
from scalespace.config.build import build
from scalespace.data.info import DataInfo
from scalespace.files import read_json
from scalespace.studies.plan import Plan, Task, make_plan
from scalespace.studies.schedule import startable

Seconds = Callable[[Task], float]


def sort_of(task_id: str) -> str:
    """What decides how long a task takes: a training's stage, a score's metric, else its kind."""
    kind, _, rest = task_id.partition("-")
    if kind == "train":
        return f"train {rest.rpartition('-seed')[0]}"
    return f"score {rest.partition('-')[0]}" if kind == "score" else kind


def measured(folder: Path, jobs: int) -> dict[str, list[float]]:
    """The seconds of each sort of task; `jobs` ran side by side when they were not recorded."""
    found: dict[str, list[float]] = defaultdict(list)
    ended = []
    for path in folder.glob("units/*/result.json"):
        result = json.loads(path.read_text())
        trained = [row["value"] for row in result["rows"] if row["metric"] == "train_seconds"]
        if trained or "seconds" in result:
            found[sort_of(path.parent.name)].append(max([result.get("seconds", 0.0), *trained]))
        else:
            ended.append((path.stat().st_mtime, path.parent.name))
    ended.sort()
    for (began, _), (end, name) in zip(ended, ended[jobs:], strict=False):
        found[sort_of(name)].append(end - began)
    return found


def clock(times: dict[str, list[float]]) -> Seconds:
    """The time of a task: of trainings the mean, of others the median."""
    of = {
        sort: (fmean if sort[:5] == "train" else median)(seconds) for sort, seconds in times.items()
    }
    return lambda task: of[sort_of(task.id)]


def critical_path(tasks: Iterable[Task], seconds: Seconds) -> float:
    """The time of the longest chain; those that a task needs come before it."""
    end: dict[str, float] = {}
    for task in tasks:
        end[task.id] = seconds(task) + max((end[need.id] for need in task.needs), default=0.0)
    return max(end.values())


def simulate(tasks: tuple[Task, ...], workers: int, seconds: Seconds, start: float) -> float:
    """When the last task ends."""
    order = {task.id: k for k, task in enumerate(tasks)}
    graph = TopologicalSorter({task.id: [need.id for need in task.needs] for task in tasks})
    graph.prepare()
    alone = sum(task.alone for task in tasks)
    now, fresh = 0.0, workers
    ready: list[int] = []  # places in the plan, in order
    running: list[tuple[float, int]] = []  # a heap: when it ends, and its place
    while graph.is_active():
        for name in graph.get_ready():
            insort(ready, order[name])
        first = [tasks[k] for k in ready[: workers - len(running) + alone]]  # no others can start
        for task in startable(first, [tasks[k] for _, k in running], workers):
            ready.remove(order[task.id])
            cold, fresh = (start, fresh - 1) if fresh else (0.0, 0)
            heapq.heappush(running, (now + cold + seconds(task), order[task.id]))
        now, k = heapq.heappop(running)
        graph.done(tasks[k].id)
    return now


def plan_of(folder: Path, seeds: int | None) -> Plan:
    """A study's plan, or one of the same with another number of seeds."""
    config = build(Config, read_json(folder / "settings.json")["config"])
    if seeds:
        config = replace(config, study=replace(config.study, seeds=tuple(range(seeds))))
    return make_plan(config, DataInfo.from_json(read_json(folder / "study.json")["data"]))


def words(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 5400 else f"{seconds / 60:.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", type=Path, help="the folder of a finished study")
    parser.add_argument("--seeds", default="", help="numbers of seeds (default: the study's own)")
    parser.add_argument("--workers", default="1,2,4,8,16,32,64,128,256,512,1000")
    parser.add_argument("--start", type=float, default=5.0, help="seconds before a first task")
    parser.add_argument("--jobs", type=int, default=2, help="of the study, if it recorded no times")
    options = parser.parse_args()
    seconds = clock(measured(options.study, options.jobs))
    for seeds in [int(word) if word else None for word in options.seeds.split(",")]:
        tasks = plan_of(options.study, seeds).tasks
        work, path = sum(map(seconds, tasks)), critical_path(tasks, seconds)
        alone = sum(seconds(task) for task in tasks if task.alone)
        print(
            f"\nSeeds: {seeds or 'its own'}. Tasks: {len(tasks)}. Work: {words(work)}; "
            f"{words(alone)} of it runs alone. Critical path: {words(path)}.\n"
        )
        print("| workers | time | times faster | efficiency |\n| ---: | ---: | ---: | ---: |")
        for workers in map(int, options.workers.split(",")):
            took = simulate(tasks, workers, seconds, options.start)
            faster = work / took
            print(f"| {workers:,} | {words(took)} | {faster:.1f} | {faster / workers:.0%} |")


if __name__ == "__main__":
    main()
