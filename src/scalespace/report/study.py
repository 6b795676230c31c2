"""A study and its report, from beginning to end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from scalespace.config import Config
from scalespace.data import load
from scalespace.errors import InputError
from scalespace.figures.album import Album
from scalespace.report.live import live
from scalespace.report.page import REPORT, build
from scalespace.studies.places import Place
from scalespace.studies.runner import run_tasks
from scalespace.training.runtime import Runtime


def study(
    folder: Path | str,
    config: Config,
    preset: str = "",
    data_dir: Path | str | None = None,
    runtime: Runtime | None = None,
    jobs: int = 1,
    command: str = "",
    say: Callable[[str], None] = print,
    cluster: str = "",
) -> Path:
    """Runs a study and writes its report; the same call resumes an interrupted study.

    Args:
        config: what to compare and how; see `scalespace.settings.load_config`.
        preset: the preset's name, for the report.
        data_dir: root of the data.
        runtime: device, precision, progress bars.
        jobs: tasks at a time.
        command: what was typed, for the report.
        say: called with each line about progress.
        cluster: runs the tasks on a cluster: local:N, tcp://HOST:PORT, slurm or slurm:FILE.yaml.

    Returns:
        the path of `report.html`.

    Raises:
        InputError: the data cannot be loaded, a folder cannot be written, another process works on
            the study, a task failed, or there is no such cluster.
    """
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {jobs}")
    runtime = runtime or Runtime()
    if runtime.devices > 1:
        raise InputError("a study runs its tasks side by side: use --jobs instead of --devices")
    place = Place.read(cluster, jobs) if cluster else None
    splits = load(config.data, data_dir, size=config.size)
    about = {"preset": preset, "command": command}
    album = Album()
    run_tasks(
        Path(folder),
        config,
        splits,
        runtime,
        jobs,
        about,
        say,
        report=partial(build, album=album),
        cluster=place,
        watch=partial(live, album=album, say=say),
    )
    return Path(folder) / REPORT
