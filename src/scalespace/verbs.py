"""What each verb of the command line does: options in, one call, a few lines out."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionYesNo, ArgumentParser, Namespace

from scalespace import options as opt
from scalespace import pretrained
from scalespace.config import BenchConfig, CASConfig, Config
from scalespace.data import load, read_samples, write_samples
from scalespace.errors import InputError, unknown
from scalespace.methods import METHODS, get_method
from scalespace.model import CARD, Model, benchmark, train
from scalespace.presets import build
from scalespace.settings import load_config, make_training
from scalespace.stages.judge import JUDGE
from scalespace.training.runtime import DEVICES, PRECISIONS, Runtime

if TYPE_CHECKING:
    import torch

Build = Callable[[ArgumentParser], None]
Act = Callable[[Namespace, dict[str, Any]], None]

MODEL = "a model folder, or the name of a shipped model (scalespace models lists them)"


def run(verb: str, arguments: Sequence[str]) -> None:
    """Reads the options of a verb and acts.

    Raises:
        InputError: see the functions that the verbs call.
    """
    from scalespace.cli import VERBS

    build, act = _VERBS[verb]
    parser = opt.parser(verb, VERBS[verb].capitalize() + ".")
    build(parser)
    act(*opt.parse(parser, arguments))


def _runtime_options(parser: ArgumentParser, training: bool = True) -> None:
    parser.add_argument("--device", default="auto", choices=DEVICES, help="where to compute")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    if training:
        parser.add_argument(
            "--precision", default="32-true", choices=PRECISIONS, help="of the arithmetic"
        )
        parser.add_argument("--devices", type=int, default=1, help="how many train together")


def _data_dir_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", help="root folder of the data (else $SCALESPACE_DATA, else the user's cache)"
    )


def _runtime(options: Namespace) -> Runtime:
    chosen = {name: options[name] for name in ("precision", "devices") if name in options}
    return Runtime(device=options.device, progress=not options.quiet, **chosen)


def _model(name: str, device: torch.device | str = "cpu") -> Model:
    """The model that a command names; says so where a folder hides a shipped one."""
    folder = pretrained.find(name)
    model = Model.load(folder, device)
    if pretrained.is_shipped(name) and folder == Path(name):
        _note(f"{name}: the model in the folder of that name here, not the shipped one")
    return model


def _study_options(parser: ArgumentParser) -> None:
    parser.add_argument("--preset", default="default", help="quick, default, paper or a YAML file")
    parser.add_argument("--out", help="the study's folder (default: runs/PRESET-DATA)")
    parser.add_argument("--jobs", type=int, default=1, help="units of work at a time")
    _data_dir_option(parser)
    _runtime_options(parser)
    opt.add_config(parser)


def _study(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.study import study

    config = load_config(options.preset, opt.config_fields(given))
    name = Path(options.preset).stem
    out = Path(options.out or Path("runs") / f"{name}-{config.data}")
    report = study(
        out,
        config,
        preset=name,
        data_dir=options.data_dir,
        runtime=_runtime(options),
        jobs=options.jobs,
        command=shlex.join(["scalespace", *_without_paths(sys.argv[1:])]),
        say=_note,
    )
    print((report.parent / "table.md").read_text())
    print(f"report: {report}")


def _train_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "method", help="what to train: scalespace models lists the methods; or judge"
    )
    parser.add_argument("--preset", default="default", help="quick, default, paper or a YAML file")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and noise")
    parser.add_argument("--out", required=True, help="the model folder to write")
    parser.add_argument(
        "--trainings", help="folder of stage trainings, shared by methods (default: OUT/trainings)"
    )
    _data_dir_option(parser)
    _runtime_options(parser)
    opt.add_config(parser)


def _train(options: Namespace, given: dict[str, Any]) -> None:
    config = load_config(options.preset, opt.config_fields(given))
    out = Path(options.out)
    trainings = Path(options.trainings or out / "trainings")
    if options.method == JUDGE.name:
        _train_judge(options, config, out, trainings)
        return
    if options.method not in METHODS:
        raise unknown("method", options.method, [*METHODS, JUDGE.name])
    method = get_method(options.method)
    splits = load(config.data, options.data_dir)
    model = train(method.name, splits, config, trainings, options.seed, _runtime(options))
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return  # one of several processes that train together; the first one writes
    model.save(out)
    for name, stage in model.stages.items():
        seconds, loss = stage.record["seconds"], stage.record["val_loss"]
        _note(f"{name}: {seconds:.0f} s of training, validation loss {loss:.4f}")
    print(f"model: {out}")


def _train_judge(options: Namespace, config: Config, out: Path, trainings: Path) -> None:
    from scalespace.training.judge import train_judge

    splits = load(config.data, options.data_dir)
    training = make_training(config, JUDGE, options.seed, splits.info)
    judge = train_judge(training, splits, trainings, _runtime(options))
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    judge.save(out)
    shares = ", ".join(f"{share:.2%} of {part}" for part, share in judge.record["accuracy"].items())
    _note(f"judge {judge.hash}: reads {shares} images")
    print(f"judge: {out}")


def _sample_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--per-class", type=int, help="images of every class")
    parser.add_argument("--labels", type=str, help="classes, as in 3,1,4")
    parser.add_argument("--seed", type=int, default=0, help="with an image's index, fixes it")
    parser.add_argument("--batch-size", type=int, default=250, help="images made at a time")
    parser.add_argument("--out", help="the samples file to write (.npz)")
    parser.add_argument("--grid", help="a picture of the images to write (at most 400 of them)")
    parser.add_argument(
        "--gif", help="an animation of the reverse process to write (at most 100 images)"
    )
    _runtime_options(parser, training=False)


def _sample(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.figures.grids import save_gif, save_grid

    if (options.per_class is None) == (options.labels is None):
        raise InputError("say what to sample: either --per-class N or --labels 3,1,4")
    if options.seed < 0:
        raise InputError(f"--seed must be at least 0, got {options.seed}")
    _suffix("--out", options.out, ".npz")
    _suffix("--grid", options.grid, ".png", ".jpg", ".webp")
    _suffix("--gif", options.gif, ".gif")
    written = [path for path in (options.out, options.grid, options.gif) if path]
    if not written:
        raise InputError(
            "say what to write: --out FILE.npz, --grid FILE.png, --gif FILE.gif, or several"
        )
    runtime = _runtime(options)
    model = _model(options.model, runtime.torch_device)
    classes = len(model.data.classes)
    if options.labels is not None:
        labels = opt.numbers(options.labels, "--labels")
    elif options.per_class < 1:
        raise InputError(f"--per-class must be at least 1, got {options.per_class}")
    else:
        labels = [label for _ in range(options.per_class) for label in range(classes)]
    samples = model.sample(labels, options.seed, options.batch_size, progress=runtime.progress)
    if options.out:
        write_samples(options.out, samples)
    columns = classes if options.labels is None else min(len(labels), 10)
    if options.grid:
        save_grid(options.grid, samples.images[:400], columns)
    if options.gif:
        steps = model.trajectory(labels[:100], options.seed)
        frames = [model.data.to_unit(step.x)[:, 0].cpu().numpy() for step in steps]
        save_gif(options.gif, frames, columns)
    print(f"{len(labels)} images: {', '.join(written)}")


def _reconstruct_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="a model folder of a method with an autoencoder")
    parser.add_argument("--samples", help="a samples file (default: the data's test images)")
    parser.add_argument("--out", required=True, help="the samples file to write (.npz)")
    parser.add_argument("--grid", help="also a picture: originals above their reconstructions")
    _data_dir_option(parser)
    _runtime_options(parser, training=False)


def _reconstruct(options: Namespace, given: dict[str, Any]) -> None:
    import numpy as np

    from scalespace.evaluation.controls import FLOOR, control
    from scalespace.figures.grids import save_grid

    _suffix("--out", options.out, ".npz")
    _suffix("--grid", options.grid, ".png", ".jpg", ".webp")
    model = _model(options.model, _runtime(options).torch_device)
    if options.samples:
        originals = read_samples(options.samples)
    else:
        splits = load(model.data.name, options.data_dir)
        originals = control(FLOOR, splits, len(splits.test()))
    rebuilt = model.reconstruct(originals)
    write_samples(options.out, rebuilt)
    if options.grid:
        columns = min(10, len(rebuilt))
        shown = [part.images[: 100 // columns * columns] for part in (originals, rebuilt)]
        shown = [part[: len(part) // columns * columns] for part in shown]
        rows = [part.reshape(-1, columns, *part.shape[1:]) for part in shown]
        both = np.stack(rows, axis=1)  # a row of originals, then the same images rebuilt
        save_grid(options.grid, both.reshape(-1, *both.shape[3:]), columns)
    error = float(np.square(rebuilt.images - originals.images).mean())
    print(f"{len(rebuilt)} images, mean squared error {error:.5f}: {options.out}")


def _evaluate_options(parser: ArgumentParser) -> None:
    parser.add_argument("samples", help="a samples file (.npz)")
    parser.add_argument("--data", help="the real data set (default: the one the file names)")
    parser.add_argument(
        "--metrics",
        default="cas",
        help="which, as in cas,fd,kid,prdc,copies,variety (default: cas)",
    )
    parser.add_argument(
        "--judge", help="folder of the judge for fd, kid and prdc (default: the shipped one)"
    )
    parser.add_argument(
        "--controls", action="store_true", help="also score as many real images, and control sets"
    )
    parser.add_argument("--classifiers", type=int, help="short for --cas.classifiers")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _data_dir_option(parser)
    _runtime_options(parser, training=False)
    opt.add_config(parser, only=["cas"])


def _evaluate(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.evaluation.controls import FLOOR, TITLES, control
    from scalespace.evaluation.evaluate import METRICS, Real, check_metrics, evaluate

    metrics = options.metrics.replace(" ", "").split(",")
    check_metrics(metrics)
    samples = read_samples(options.samples)
    data = options.data or samples.meta.get("data")
    if not isinstance(data, str):
        raise InputError("say which real data to score against: --data NAME")
    fields = dict(given.get("cas", {}))
    if options.classifiers is not None:
        fields["classifiers"] = options.classifiers
    runtime = _runtime(options)
    real = Real(
        load(data, options.data_dir),
        build(CASConfig, fields),
        options.judge,
        runtime.torch_device,
        runtime.progress and not options.json,
    )
    found = {"samples": evaluate(samples, real, metrics, floor=True)}
    for name in TITLES if options.controls else ():
        fitting = [metric for metric in metrics if name in METRICS[metric].controls]
        if fitting and name != FLOOR:  # which stands beside the samples' own figures already
            found[name] = evaluate(control(name, real.splits, len(samples)), real, fitting)
    if options.json:
        out = {"file": options.samples, "data": data, **found.pop("samples"), **found}
        print(json.dumps(out, indent=2))
        return
    for name, measures in found.items():
        for metric, result in measures.items():
            print(f"{name}: {_told(metric, result)}")
    splits = real.splits
    per_class = found["samples"].get("cas", {}).get("per_class", [])
    for label, share in zip(splits.train.classes, per_class, strict=False):
        print(f"  class {label}: {'no test images' if share is None else f'{share:.4f}'}")


def _told(metric: str, result: dict[str, Any]) -> str:
    """The result of one metric in a line."""
    from scalespace.evaluation.evaluate import METRICS

    figures = "; ".join(_figures(METRICS[metric].figures, result))
    about = [f"n {result['n']:,}"]
    if "reference_n" in result:
        about.append(f"against {result['reference_n']:,} training images")
    if "judge" in result:
        about.append(f"judge {result['judge']}")
    line = f"{figures} ({', '.join(about)})"
    if "floor" in result:
        floor = "; ".join(_figures(METRICS[metric].figures, result["floor"]))
        line += f"; {result['floor']['n']:,} real test images: {floor}"
    return line


def _figures(figures: dict[str, str], result: dict[str, Any]) -> Iterator[str]:
    for name, title in figures.items():
        text = f"{title} {result[name]:.4f}"
        if "low" in result:
            text += f" [{result['low']:.4f} to {result['high']:.4f}]"
        elif "sd" in result:
            text += f" ± {result['sd']:.4f}"
        yield text


def _bench_options(parser: ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", help=f"measured in turns; each {MODEL}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _runtime_options(parser, training=False)
    opt.add_config(parser, only=["bench"])


def _bench(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.machine import machine, versions

    runtime = _runtime(options)
    config: BenchConfig = build(BenchConfig, given.get("bench", {}))
    models = [_model(name, runtime.torch_device) for name in options.models]
    found = benchmark(models, config, progress=runtime.progress and not options.json)
    if options.json:
        about = {"machine": machine(runtime.torch_device), "versions": versions()}
        print(json.dumps({"models": found, **about}, indent=2))
        return
    for name, cost in found.items():
        ms = {key: 1000 * cost[key] for key in ("mean", "median", "q1", "q3")}
        print(
            f"{name}: {ms['mean']:.1f} ms a sample (median {ms['median']:.1f}, quartiles "
            f"{ms['q1']:.1f} to {ms['q3']:.1f}, n {cost['productions']}), {cost['calls']} calls, "
            f"{cost['macs'] / 1e6:.0f} M multiply-adds, {cost['images_per_s']:.0f} images/s at "
            f"batch {cost['best_batch_size']}"
        )


def _plot_options(parser: ArgumentParser) -> None:
    parser.add_argument("figure", help="its name; a wrong one lists them")
    parser.add_argument(
        "folder", help="a study's; for a judge's figures also a judge's, for a vae's a model's"
    )
    parser.add_argument("--out", required=True, help="the picture to write (.png, .svg or .pdf)")
    _data_dir_option(parser)


def _plot(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.study.figures import render

    shipped = pretrained.is_shipped(options.folder)
    folder = pretrained.find(options.folder) if shipped else Path(options.folder)
    render(folder, options.figure, Path(options.out), options.data_dir)
    print(f"figure: {options.out}")


def _models_options(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help=MODEL)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _models(options: Namespace, given: dict[str, Any]) -> None:
    if options.model is None:
        about: list[dict[str, Any]] = [
            {
                "method": method.name,
                "title": method.title,
                "stages": [stage.name for stage in method.stages],
                "about": (method.__doc__ or "").strip().partition("\n")[0],
                "shipped": pretrained.is_shipped(method.name),
            }
            for method in METHODS.values()
        ]
        if options.json:
            print(json.dumps(about, indent=2))
            return
        for one in about:
            shipped = "shipped" if one["shipped"] else ""
            stages = ", ".join(one["stages"])
            print(f"{one['method']:<11} {shipped:<7}  stages: {stages:<16} {one['about']}")
        return
    model = _model(options.model)
    config = {**model.config, "parameters": model.parameters}
    if options.json:
        print(json.dumps(config, indent=2))
        return
    print(f"{config['method']} ({config['hash']}), trained on {model.data.name}")
    print(f"{config['calls']} network calls a sample, {config['parameters']} parameters")
    for name, stage in config["stages"].items():
        record = stage["record"]
        print(
            f"  {name}: seed {stage['seed']}, {record['images']} images in "
            f"{record['seconds']:.0f} s, validation loss {record['val_loss']:.4f}"
        )
    if model.figures is not None:
        measured = [f"{one.title} {one.value:.4f}" for one in model.figures.measures]
        print(f"measured: {', '.join(measured)}")
    if (card := pretrained.find(options.model) / CARD).is_file():
        print(f"card: {card}")


def _data_options(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="of the data set; a wrong one lists them")
    parser.add_argument("--grid", help="write a picture of some images of each class")
    parser.add_argument("--json", action="store_true", help="print JSON")
    _data_dir_option(parser)


def _data(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.data.summary import summary
    from scalespace.figures.grids import save_grid

    _suffix("--grid", options.grid, ".png", ".jpg", ".webp")
    splits = load(options.name, options.data_dir)
    about = summary(splits)
    if options.grid:
        images, columns = splits.train.examples(10)
        save_grid(options.grid, images, columns)
    if options.json:
        print(json.dumps(about, indent=2))
        return
    for key, value in about.items():
        print(f"{key}: {value}")


def _toy_options(parser: ArgumentParser) -> None:
    parser.add_argument("--out", required=True, help="the folder to write")
    parser.add_argument("--seeds", default="0,1,2", help="one training of each arm for each")
    parser.add_argument("--points", default="-1,1", help="the data, each point equally likely")
    parser.add_argument("--epochs", type=int, default=200, help="of 100 x 128 points")
    parser.add_argument("--samples", type=int, default=10_000, help="trajectories a seed")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.1,
        help="a stray ends further from every point, in halves of the distance of the nearest two",
    )
    parser.add_argument(
        "--cures", action=ActionYesNo(no_prefix="no-"), default=True, help="also try the cures"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _toy(options: Namespace, given: dict[str, Any]) -> None:
    from scalespace.toy.config import ToyConfig
    from scalespace.toy.experiment import experiment
    from scalespace.toy.report import strays_table

    results = experiment(
        Path(options.out),
        ToyConfig(tuple(opt.reals(options.points, "--points")), epochs=options.epochs),
        opt.numbers(options.seeds, "--seeds"),
        options.samples,
        options.tolerance,
        options.cures,
        progress=not (options.quiet or options.json),
    )
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print("\n".join(strays_table(results)))
    print(f"tables and pictures: {Path(options.out) / 'toy.md'}")


def _suffix(option: str, path: str | None, *suffixes: str) -> None:
    if path is not None and Path(path).suffix.lower() not in suffixes:
        raise InputError(f"{option} must end in {' or '.join(suffixes)}, got {path}")


def _without_paths(arguments: Sequence[str]) -> list[str]:
    """The command as a reader can repeat it: without where this machine keeps its data."""
    out, skip = [], False
    for word in arguments:
        if not skip and word != "--data-dir" and not word.startswith("--data-dir="):
            out.append(word)
        skip = word == "--data-dir"
    return out


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_VERBS: dict[str, tuple[Build, Act]] = {
    "study": (_study_options, _study),
    "train": (_train_options, _train),
    "sample": (_sample_options, _sample),
    "reconstruct": (_reconstruct_options, _reconstruct),
    "evaluate": (_evaluate_options, _evaluate),
    "bench": (_bench_options, _bench),
    "plot": (_plot_options, _plot),
    "models": (_models_options, _models),
    "data": (_data_options, _data),
    "toy": (_toy_options, _toy),
}
