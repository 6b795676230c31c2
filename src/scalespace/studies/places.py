"""The clusters that `--cluster` names: workers of this machine, a scheduler, or SLURM."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from scalespace.errors import InputError, one_line
from scalespace.files import read_text
from scalespace.machine import cores
from scalespace.presets.documents import read_yaml
from scalespace.studies.folder import LOGS

KNOWN = "local:N (N processes of this machine), tcp://HOST:PORT (a scheduler) or slurm[:FILE.yaml]"
ANSWER_SECONDS = 15.0  # that a scheduler has to answer


@dataclass(frozen=True)
class Place:
    """A cluster that is not yet there.

    Args:
        kind: local, slurm, or address for a scheduler that runs already.
        address: the scheduler's.
        number: processes, or jobs of SLURM.
        settings: arguments of `dask_jobqueue.SLURMCluster`, and `threads`: how many a task uses.
    """

    kind: str
    address: str = ""
    number: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, jobs: int = 1) -> Place:
        """What `--cluster` says, checked as far as it can be before anything is started.

        Args:
            jobs: `--jobs`, the number of SLURM's jobs unless the file gives one.

        Raises:
            InputError: it is not understood, a package is missing, or this machine has no SLURM.
        """
        needed("distributed")
        kind, _, rest = text.partition(":")
        if kind != "slurm" and jobs > 1:
            raise InputError(
                f"--jobs goes with --cluster slurm alone: {text} says itself how many tasks run at "
                "a time"
            )
        if kind == "local" and re.fullmatch("[1-9][0-9]{0,3}", rest):
            return cls("local", number=int(rest))
        if kind in ("tcp", "tls") and re.fullmatch(r"//.+:[0-9]+", rest):
            return cls("address", address=text)
        if kind == "slurm" and (rest or text == "slurm"):
            needed("dask_jobqueue")
            settings = _slurm_settings(Path(rest)) if rest else {}
            number = settings.pop("jobs", jobs)
            if type(number) is not int or number < 1:
                raise InputError(f"{rest}: jobs must be a whole number above 0, got {number!r}")
            if not shutil.which("sbatch"):
                raise InputError("--cluster slurm needs sbatch, which this machine does not have")
            return cls("slurm", number=number, settings=settings)
        raise InputError(f"--cluster takes {KNOWN}: got '{text}'")

    def open(self, folder: Path) -> Any:
        """Starts the cluster for a study, and returns dask's object; None for one that runs.

        Raises:
            InputError: it cannot be started.
        """
        if self.kind == "local":
            from distributed import LocalCluster

            threads = max(1, cores() // self.number)
            environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads)}
            return LocalCluster(
                n_workers=self.number,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                env=environment,
            )
        if self.kind == "slurm":
            return self._open_slurm(folder)
        return None

    def _open_slurm(self, folder: Path) -> Any:
        from dask_jobqueue import SLURMCluster

        logs = folder / LOGS / "slurm"
        logs.mkdir(parents=True, exist_ok=True)
        own = {
            "log_directory": str(logs),
            "silence_logs": logging.CRITICAL,
            "scheduler_options": {"dashboard_address": ":0"},  # any port that is free
        }
        try:
            cluster = SLURMCluster(**{**own, **_shared_out(self.settings)})
        except (TypeError, ValueError) as error:
            raise InputError(f"--cluster slurm: {one_line(error)}") from error
        # also begins a job anew that SLURM has ended, for its time was over, say
        cluster.adapt(minimum_jobs=self.number, maximum_jobs=self.number)
        return cluster


def needed(package: str) -> None:
    """Raises `InputError`, which says what to install, unless a package is there."""
    with suppress(ImportError):
        import_module(package)
        return
    raise InputError(
        f"--cluster needs {package.replace('_', '-')}: pip install 'scalespace[cluster]'"
    )


def _slurm_settings(path: Path) -> dict[str, Any]:
    settings = read_yaml(read_text(path, "cluster settings"), str(path))
    if not isinstance(settings, Mapping) or not all(isinstance(name, str) for name in settings):
        raise InputError(f"{path} must be a mapping of settings, as in docs/cluster.md")
    return {name.replace("-", "_"): value for name, value in settings.items()}


def _shared_out(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which dask counts tasks instead of cores, if a task uses several `threads`."""
    settings = dict(settings)
    threads = settings.pop("threads", 1)
    cores = settings.get("cores")
    if threads == 1:
        return settings
    if type(threads) is not int or type(cores) is not int or not 1 <= threads <= cores:
        raise InputError(
            f"--cluster slurm: threads, {threads!r}, must be a whole number from 1 to cores, "
            f"{cores!r}"
        )
    prologue = [f"export OMP_NUM_THREADS={threads}", *settings.get("job_script_prologue", [])]
    return {
        "job_cpu": cores,
        **settings,
        "cores": cores // threads,
        "job_script_prologue": prologue,
    }
