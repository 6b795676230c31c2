"""What a fresh process takes: until its first image, and how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PARTS = ("import", "load", "first image")

START = """
import json, time
t = [time.perf_counter()]
import scalespace as sc
sc.Model
t.append(time.perf_counter())
model = sc.Model.from_pretrained({name!r})
t.append(time.perf_counter())
model.sample([7])
t.append(time.perf_counter())
print(json.dumps([b - a for a, b in zip(t, t[1:])]))
"""

PEAK = """
import json, resource
import scalespace as sc
{work}
kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:  # Linux counts what the parent had before into the former
    kib = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
except (OSError, IndexError):
    pass
print(json.dumps(kib / 1024))
"""

WORKS = {
    "import alone": "sc.Model",
    "sample 256 images, baseline": "sc.Model.from_pretrained('baseline').sample([7] * 256)",
    "sample 256 images, cascaded": "sc.Model.from_pretrained('cascaded').sample([7] * 256)",
    "train, batches of 128, baseline": """
import tempfile
config = sc.load_config("default", {"train.epochs": 1, "stages.baseline.train.batch_size": 128})
runtime = sc.Runtime(device="cpu", progress=False)
with tempfile.TemporaryDirectory() as folder:
    sc.train("baseline", sc.load_data("digits"), config, folder, runtime=runtime)
""",
}
"""Work whose memory is measured, as a script."""

SPIN = "while True: pass"


def first_image(name: str) -> list[float]:
    """Seconds of each of `PARTS`, for a shipped model in a process of its own."""
    found: list[float] = _run(START.format(name=name))
    return found


def peak(work: str) -> float:
    """The most memory that a script of `WORKS` takes, in MiB."""
    return float(_run(PEAK.replace("{work}", WORKS[work])))


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Keeps so many cores busy with other programs."""
    running = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(programs)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def _run(script: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
