"""A stream of damaged, hostile and absurd inputs, and what the command line makes of each.

    python tests/damaged_inputs.py WORLD COUNT [SEED]

WORLD is a folder with good files (see `test_damaged_inputs.py`, which makes one and runs this).
Each case copies what it needs, does harm to it, and runs one command in a process of its own, with
2 GB more memory than it has and 20 seconds. It must end by 0 or 2, without a traceback; where it
ends by 2, its last line is a clear one, and it has left nothing behind. What breaks that is printed
as a JSON line. The same seed gives the same cases.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import os
import pkgutil
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import scalespace
from scalespace import cli, options
from scalespace.verbs import bench, data, evaluate, models, plot, sample, toy, train

SECONDS, MEMORY = 20, 2 << 30
ODD: list[Any] = [
    *(None, True, -1, 0, 1, 3, 1e308, -1e-300, 10**30, 10**400, float("nan"), float("inf")),
    *("", "x", "mnist", "x" * 5000, "a\nb", "<script>alert(1)</script>", "| a | b |", "\0", "é"),
    *([], {}, [[]], [1, 2], {"a": 1}, [0] * 3000, "../../x", "0.5", [[[[[[[[[[]]]]]]]]]]),
]
WORDS = [
    *("", " ", "-1", "0", "1", "3", "1e400", "nan", "inf", "-inf", "9" * 5000, "999999999999"),
    *("x" * 5000, "[", "]", "{", "{a: 1}", "[1,2", "[[1]]", "null", "true", "no", "1,2,3", "1,,2"),
    *(".", "..", "/", "/dev/null", "/nowhere/at/all", "\n", "a\nb", "é", "%s", "--", "-", "a=b"),
    *("*", "&a", "!!python/object:os.system x", "0x10", "1__0", "٣", "1:2", "=", "small=1", "all"),
]
VERBS = {"train": train, "sample": sample, "evaluate": evaluate, "bench": bench, "data": data}
VERBS |= {"models": models, "plot": plot, "toy": toy}


@dataclass(frozen=True)
class Case:
    """A command, where it runs, and what was done."""

    words: list[str]
    folder: Path
    harm: str


def harm_bytes(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Damage as disks, transfers and editors do it."""
    kind = rng.choice(["flip", "cut", "empty", "zeros", "double", "junk", "insert"])
    place = rng.randrange(max(1, len(content)))
    changed = bytearray(content)
    if kind == "flip" and content:
        changed[min(place, rng.choice([place, 300])) % len(content)] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del changed[place:]
    elif kind == "empty":
        changed.clear()
    elif kind == "zeros":
        changed[place : place + 64] = bytes(len(changed[place : place + 64]))
    elif kind == "double":
        changed += content
    elif kind == "junk":
        changed = bytearray(rng.randbytes(rng.randrange(1, 2000)))
    else:
        changed[place:place] = rng.randbytes(rng.randrange(1, 20))
    return bytes(changed), f"{kind} at {place}"


def harm_json(value: Any, rng: random.Random) -> tuple[Any, str]:
    """One field of a JSON value removed, renamed, or made something odd."""
    value = copy.deepcopy(value)
    places = [place for place in _places(value) if place]
    place = rng.choice(places)
    inside = value
    for key in place[:-1]:
        inside = inside[key]
    kind, key = rng.choice(["remove", "odd", "odd", "odd", "rename"]), place[-1]
    if kind == "remove":
        del inside[key]
    elif kind == "rename" and isinstance(inside, dict):
        inside[f"{key} "] = inside.pop(key)
    else:
        odd = rng.choice(ODD)
        inside[key] = odd
        kind = f"= {odd!r:.60}"
    return value, f"{'.'.join(map(str, place))} {kind}"


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*at, key))


def harm_file(path: Path, rng: random.Random) -> str:
    """Damages a file; one of JSON as often by its fields as by its bytes."""
    if path.suffix in (".json", ".jsonl") and rng.random() < 0.7:
        text = path.read_text()
        if path.suffix == ".jsonl":
            lines = text.splitlines()
            k = rng.randrange(len(lines))
            changed, what = harm_json(json.loads(lines[k]), rng)
            lines[k] = json.dumps(changed)
            text, what = "\n".join(lines) + "\n", f"line {k + 1}: {what}"
        else:
            changed, what = harm_json(json.loads(text), rng)
            text = json.dumps(changed)
        path.write_text(text)
        return f"{path.name}: {what}"
    content, what = harm_bytes(path.read_bytes(), rng)
    path.write_bytes(content)
    return f"{path.name}: {what}"


def _one_of(folder: Path, rng: random.Random, *patterns: str) -> Path:
    found = sorted(path for pattern in patterns for path in folder.rglob(pattern))
    return rng.choice(found)


def of_model(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    model = shutil.copytree(world / "model", place / "model")
    harm = harm_file(_one_of(model, rng, "*.json", "*.safetensors"), rng)
    words = rng.choice(
        [
            ["models", "model"],
            ["models", "model", "--json"],
            ["sample", "model", "--labels", "0,1", "--out", "a.npz"],
            ["sample", "model", "--per-class", "1", "--grid", "a.png", "--steps", "1"],
            ["plot", "training", "model", "--out", "a.png"],
        ]
    )
    return words, harm


def of_samples(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    shutil.copy(world / "samples.npz", place / "a.npz")
    harm = harm_file(place / "a.npz", rng)
    if rng.random() < 0.3:
        words = ["sample", str(world / "model"), "--redraw", "a.npz", "--from-state", "1"]
        return [*words, "--out", "b.npz"], harm
    metric = rng.choice(["copies", "variety"])
    return ["evaluate", "a.npz", "--metrics", metric, "--data-dir", str(world / "data")], harm


def of_judge(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    judge = shutil.copytree(world / "judge", place / "judge")
    harm = harm_file(_one_of(judge, rng, "*.json", "*.safetensors"), rng)
    if rng.random() < 0.5:
        words = ["plot", "judge-training", "judge", "--out", "a.png"]
        return [*words, "--data-dir", str(world / "data")], harm
    words = ["evaluate", str(world / "samples.npz"), "--metrics", "fd", "--judge", "judge"]
    return [*words, "--data-dir", str(world / "data")], harm


def of_study(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    study = shutil.copytree(world / "study", place / "study")
    names = ("study.json", "results.jsonl", "results.jsonl", "*.npz", "metrics.jsonl")
    harm = harm_file(_one_of(study, rng, rng.choice(names)), rng)
    figure = rng.choice(["frontier", "cas", "confusion", "samples", "training", "reverse"])
    return ["plot", figure, "study", "--out", "a.png"], harm


def of_data(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    root = shutil.copytree(world / "data", place / "data")
    path = _one_of(root, rng, "*ubyte*")
    harm = harm_file(path, rng)
    if rng.random() < 0.2:
        path.unlink()
        harm = f"{path.name}: gone"
    return ["data", "mnist", "--data-dir", "data", "--grid", "a.png"], harm


def of_training(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    out = shutil.copytree(world / "training", place / "out")
    harm = harm_file(_one_of(out, rng, "*.safetensors", "*.jsonl"), rng)
    words = ["train", "small", "--preset", str(world / "tiny.yaml"), "--out", "out", "--quiet"]
    return [*words, "--data-dir", str(world / "data"), "--device", "cpu"], harm


def of_preset(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    text = rng.choice([(world / "tiny.yaml").read_text(), "base: quick\ntrain: {epochs: 1}\n"])
    if rng.random() < 0.5:
        lines = text.splitlines()
        tags = ["!!int ", "!!bool ", "!!float ", "!!timestamp ", "!!map ", "!!set ", "&a [*a] #"]
        line = rng.choice(["a: &a [1, 2]", "b: *a", "\t- x", "? [a]", "<<: 3", "x: \x01", "..."])
        lines.insert(rng.randrange(len(lines) + 1), line)
        k = rng.randrange(len(lines))
        lines[k] = lines[k].replace(": ", f": {rng.choice(tags)}", 1)
        content, harm = "\n".join(lines).encode(), "odd YAML"
    elif rng.random() < 0.3:
        rows = [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
        content, harm = ("a0: &a0 [x]\n" + "\n".join(rows)).encode(), "an alias bomb"
    else:
        content, harm = harm_bytes(text.encode(), rng)
    (place / "p.yaml").write_bytes(content)
    return ["train", rng.choice(["small", "cascaded"]), "--preset", "p.yaml", "--dry-run"], harm


def of_options(world: Path, place: Path, rng: random.Random) -> tuple[list[str], str]:
    model, root = str(world / "model"), ["--data-dir", str(world / "data")]
    few = ["--bench.productions=1", "--bench.warmup=0", "--bench.batch_sizes=1"]
    base = {
        "train": ["small", "--dry-run"],
        "sample": [model, "--labels", "0,1", "--out", "a.npz"],
        "evaluate": [str(world / "samples.npz"), "--metrics", "copies", *root],
        "bench": [model, *few, "--bench.batches=1", "--quiet"],
        "data": ["mnist", *root],
        "models": [],
        "plot": ["training", model, "--out", "a.png"],
        "toy": ["--out", "toy", "--epochs=0", "--no-cures", "--quiet"],  # a whole one takes long
    }
    verb = rng.choice([*base, "train", "train", "sample", "sample", "evaluate"])
    parser = options.parser(verb, "")
    VERBS[verb].add_options(parser)
    known = [word for word in parser._option_string_actions if word.startswith("--")]
    odd = rng.choice(WORDS)
    if rng.random() < 0.15:
        words = [odd if rng.random() < 0.5 else word for word in base[verb]]
    else:
        name = rng.choice([word for word in known if word not in ("--help", "--print_config")])
        words = [*base[verb], *rng.choice([[name, odd], [f"{name}={odd}"]])]
    return [verb, *words], "odd options"


KINDS: list[Callable[[Path, Path, random.Random], tuple[list[str], str]]] = [
    *(of_model, of_samples, of_judge, of_study, of_data, of_training, of_preset, of_options),
    of_options,
]


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def run(case: Case, log: Path) -> dict[str, Any] | None:
    """Runs a case in a process of its own; what is wrong with how it ended, if anything is."""
    before = tree(case.folder)
    pid = os.fork()
    if pid == 0:
        _child(case, log)
    _, status = os.waitpid(pid, 0)
    said = log.read_text(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    wrong = []
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status)).name
        wrong.append("hang" if ended == "SIGALRM" else ended)
    elif os.WEXITSTATUS(status) not in (0, 2):
        wrong.append(f"exit {os.WEXITSTATUS(status)}")
    elif os.WEXITSTATUS(status) == 2:
        if left := sorted(tree(case.folder) - before):
            wrong.append(f"left behind: {left}")
        if not lines or not lines[-1].startswith("scalespace: ") or len(lines[-1]) > 1300:
            wrong.append("no clear line")
    if "Traceback" in said:
        wrong.append("traceback")
    if "not enough memory" in said:
        wrong.append("2 GB")
    if not wrong:
        return None
    words = [f"{word:.80}" for word in case.words]
    return {"wrong": wrong, "words": words, "harm": case.harm, "said": "\n".join(lines[-4:])[-900:]}


def _child(case: Case, log: Path) -> None:
    """Never returns."""
    code = 99
    try:
        os.chdir(case.folder)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        signal.alarm(SECONDS)
        try:
            cli.main(case.words)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except BaseException:
            traceback.print_exc()
            code = 98
        sys.stderr.flush()
    finally:
        os._exit(code)


def cases(world: Path, count: int, seed: int, root: Path) -> Iterator[Case]:
    """So many cases, each in a folder of its own that goes when the next is asked for."""
    for k in range(count):
        rng = random.Random(f"{seed} {k}")
        place = root / str(k)
        place.mkdir()
        words, harm = KINDS[k % len(KINDS)](world, place, rng)
        yield Case(words, place, harm)
        shutil.rmtree(place, ignore_errors=True)


def main(world: str, count: str, seed: str = "0") -> None:
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(scalespace.__path__, "scalespace."):
        if module.name != "scalespace.__main__":  # so that no child has to
            importlib.import_module(module.name)
    importlib.import_module("lightning_fabric")
    with tempfile.TemporaryDirectory() as root:
        log, wrong = Path(root) / "log", 0
        (Path(root) / "cases").mkdir()
        for case in cases(Path(world).resolve(), int(count), int(seed), Path(root) / "cases"):
            with contextlib.suppress(BrokenPipeError):
                if found := run(case, log):
                    wrong += 1
                    print(json.dumps(found), flush=True)
    print(f"{count} cases, {wrong} wrong", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
