"""Damaged models, disks that fail, little memory, Ctrl-C: one line, and nothing half-written."""

from __future__ import annotations

import io
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scalespace.cli import main
from scalespace.data import Samples, read_samples, write_samples
from scalespace.errors import InputError
from scalespace.evaluation.judge import named_judge
from scalespace.model import Model

Capture = pytest.CaptureFixture[str]
Refused = Callable[..., str]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# Models that are damaged


@pytest.mark.parametrize("verb", ["models", "sample", "bench"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 20, 0.5, 0.99])
def test_models_cut_short(
    verb: str, name: str, keep: float, refused: Callable[..., str], model_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    content = (broken / name).read_bytes()
    (broken / name).write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    extra = ["--per-class", 1, "--out", tmp_path / "x.npz"] if verb == "sample" else []
    assert name in refused(verb, broken, *extra)
    assert not (tmp_path / "x.npz").exists()


def test_a_model_without_what_a_table_tells(
    refused: Callable[..., str], model_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    config = json.loads((broken / "config.json").read_text())
    del config["stages"]["small"]["record"]["seconds"]
    (broken / "config.json").write_text(json.dumps(config))
    assert "seconds" in refused("models", broken)


# Disks that fail


def test_a_file_in_the_way(
    refused: Callable[..., str], model_dir: Path, preset: Path, data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("here")
    train = ["--preset", preset, "--data-dir", data_dir, "--quiet"]
    for words in (
        ["train", "small", *train, "--out", tmp_path / "file"],
        ["study", *train, "--out", tmp_path / "file" / "below"],
        ["sample", model_dir, "--quiet", "--per-class", 1, "--out", tmp_path / "file" / "x.npz"],
        ["data", "mnist", "--data-dir", data_dir, "--grid", tmp_path / "file" / "x.png"],
    ):
        assert "file" in refused(*words)
    assert tree(tmp_path) == {"file": b"here"}


@pytest.mark.parametrize("limit", [10, 3000, 20_000])
def test_a_full_disk(
    limit: int,
    refused: Callable[..., str],
    model_dir: Path,
    preset: Path,
    data_dir: Path,
    tmp_path: Path,
) -> None:
    """No file may grow beyond the limit: the system refuses, whatever library writes."""
    (tmp_path / "x.npz").write_bytes(b"old")
    sample = ["sample", model_dir, "--quiet", "--per-class", 100, "--out", tmp_path / "x.npz"]
    train = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--quiet"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for words in (sample, [*train, "--out", tmp_path / "model"]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            message = refused(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "cannot write" in message
        assert "File too large" in message or "too large" in message
    assert (tmp_path / "x.npz").read_bytes() == b"old"
    assert not [name for name in tree(tmp_path) if ".part" in name]
    main([str(word) for word in [*train, "--out", tmp_path / "model"]])  # goes on with room again
    assert (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize(("verb", "resumes"), [("study", True), ("train", True), ("sample", False)])
def test_interrupted(
    verb: str, resumes: bool, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from scalespace import verbs

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "run", interrupt)
    with pytest.raises(SystemExit) as stop:
        main([verb])
    assert stop.value.code == 130
    message = capsys.readouterr().err
    assert message.startswith("scalespace: interrupted")
    assert ("run the same command again" in message) == resumes


# Before the work rather than after it


@pytest.mark.parametrize(
    ("option", "name"), [("--out", "x.npz"), ("--grid", "x.png"), ("--gif", "x.gif")]
)
def test_targets_are_checked_before_sampling(
    option: str,
    name: str,
    model_dir: Path,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Model, "sample", lambda *_, **__: pytest.fail("sampled"))
    (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    common = ["sample", model_dir, "--labels", "0", "--device", "cpu", option]
    assert "is a folder: name a file" in refused(*common, tmp_path / name)
    assert "is a file, and a folder is needed" in refused(*common, tmp_path / "file" / name)


def test_a_study_has_its_own_images_to_plot(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "study.json").write_text("{}")
    words = ["plot", "samples", tmp_path, "--out", tmp_path / "a.png"]
    assert "--size is for a figure that looks at images" in refused(*words, "--size", "8")


def test_too_few_images_for_a_metric(
    samples: Path, data_dir: Path, tmp_path: Path, refused: Refused
) -> None:
    few = read_samples(samples)
    write_samples(tmp_path / "one.npz", Samples(few.images[:1], few.labels[:1], few.meta))
    words = ["evaluate", tmp_path / "one.npz", "--data-dir", data_dir, "--metrics", "variety"]
    assert "variety: too few images (1), at least 2 are needed" in refused(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", ""], "one of the folders has an empty name"),
        (["bench", "small", ""], "one of the models has an empty name"),
        (["export", "small", ""], "the name of the file is empty"),
    ],
)
def test_empty_names(words: list[str], message: str, refused: Refused) -> None:
    assert message in refused(*words)


def test_the_home_folder_of_an_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    main(["data", "digits", "--grid=~/new/a.png"])
    assert (tmp_path / "new" / "a.png").exists()


def test_the_home_folder_of_what_a_training_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preset: Path, refused: Refused
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["train", "small", "--preset", preset, "--out", tmp_path / "out"]
    assert f"{tmp_path}/nothing" in refused(*words, "--reuse=~/nothing,small")
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file is a file" in refused(*words, "--trainings=~/file")
    with pytest.raises(InputError, match="/file is a file"):
        named_judge("~/file")  # as study.judge names it


def test_the_model_folder_is_checked_before_training(
    data_dir: Path, tmp_path: Path, preset: Path, refused: Refused
) -> None:
    words = ["train", "small", "--preset", preset, "--data-dir", data_dir, "--out"]
    (tmp_path / "file").write_text("")
    assert "is a file, and a folder is needed" in refused(*words, tmp_path / "file")
    (tmp_path / "config.json").write_text("{}")
    assert "is no scalespace model: choose another folder" in refused(*words, tmp_path)
    assert not (tmp_path / "trainings").exists()


def test_a_judge_is_looked_for_before_anything_is_scored(
    samples: Path, data_dir: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalespace.evaluation.evaluate.cas", lambda *_: pytest.fail("scored"))
    words = ["evaluate", samples, "--data-dir", data_dir, "--metrics", "cas,fd", "--judge", "no"]
    line = refused(*words)
    assert "judge folder not found: no" in line
    assert str(samples) not in line


@pytest.mark.parametrize("value", ["[1", "@x", "2020-13-45"])
def test_a_stages_field_that_is_no_yaml(
    value: str, model_dir: Path, tmp_path: Path, refused: Refused
) -> None:
    words = ["sample", model_dir, "--labels", "1", "--out", tmp_path / "x.npz"]
    line = refused(*words, f"--stages.small.process.eta={value}")
    assert "--stages.small.process.eta is not valid YAML" in line


# What happens to the process


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")],
)
def test_too_little_memory(
    error: Exception, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("scalespace.verbs.run", fail)
    assert "not enough memory" in refused("models")


def test_other_errors_of_torch_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr("scalespace.verbs.run", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["models"])


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_an_output_that_lacks_our_letters(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("scalespace.verbs.run", lambda *_: print("CAS −0.1 ± 0.2 日"))
    main(["models"])
    stream.flush()
    plain = {"ascii": "CAS -0.1 +/- 0.2 ?", "cp1252": "CAS -0.1 ± 0.2 ?"}
    text = raw.getvalue().decode(encoding)
    assert text == plain.get(encoding, "CAS −0.1 ± 0.2 日") + "\n"


def test_ctrl_c_among_the_imports() -> None:
    """A library that catches it there would have the command run on."""
    program = """
import os, signal, sys, types
from scalespace import cli

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores

class Slow(types.ModuleType):
    pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "scalespace.verbs":
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt:
                pass  # as such a library does
            return None

sys.meta_path.insert(0, Finder())
cli.main(["models"])
print("ran on")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "scalespace: interrupted\n"
    assert done.stdout == ""
