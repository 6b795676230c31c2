"""Names that are not known: code 2, and one line that helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian small", "unknown command 'trian'; did you mean 'train'"),
        ("--train", "unknown command '--train'; did you mean 'train'"),
        ("train cascade --out OUT", "unknown method 'cascade'; did you mean 'cascaded'"),
        ("train small --preset qick --out OUT", "unknown preset 'qick'; did you mean 'quick'"),
        ("train small --data mnits --out OUT", "'mnits'; did you mean 'mnist'"),
        ("train small --out OUT --train.epoch=3", "--train.epoch=3; did you mean --train.epochs"),
        ("train small --out OUT --more-epochs 5", "--train.epochs=N trains anew, N epochs in all"),
        ("train small --out OUT --resume", "no option --resume: the same command again"),
        ("train small --out OUT --stages.smal.train.epochs=3", "'smal'; did you mean 'small'"),
        ("train small --out OUT --stages.small.train.epoch=3", "did you mean 'epochs'"),
        ("sample --lables 3 --out OUT.npz MODEL", "--lables"),
        ("train jugde --out OUT", "unknown method 'jugde'; did you mean 'judge'"),
        ("train latent-flw --out OUT", "did you mean 'latent-flow'"),
        ("train vae --out OUT --autoencoder.latents=3", "did you mean --autoencoder.latent"),
        ("train vae --out OUT --stages.vae.autoencoder.latents=3", "did you mean 'latent'"),
        ("train vae --out OUT --stages.vae.net.patch=2", "unknown field of stages.vae 'net'"),
        ("evaluate FILE --metrics fid", "unknown metric 'fid'"),
        ("evaluate FILE --metrics cas,fid", "unknown metric 'fid'"),
        ("evaluate FILE --metrics kidd --judge JUDGE", "did you mean 'kid'"),
        ("evaluate FILE --metrics fd", "no judge for mnist (own files) ships with the package"),
        ("evaluate FILE --metrics fd --judge NONE", "judge folder not found"),
        ("evaluate FILE --metrics fd --judge FILE", "is a file, not a folder: name a judge folder"),
        (
            "evaluate FILE --metrics fd --judge mnits",
            "did you mean 'mnist'? (shipped: fashion-mnist",
        ),
        ("sample FILE --labels 0 --out OUT.npz", "is a file, not a folder: name a model folder"),
        ("models FILE", "is a file, not a folder: name a model folder"),
        ("logs FILE", "is a file, not a folder: name a training folder"),
        ("report FILE", "is a file, not a folder: name a study's folder"),
        ("plot cas FILE --out OUT.png", "is a file, not a folder: name a study folder"),
        ("study --preset quick --out FILE", "real.npz is a file, not a folder"),
        ("sample MODEL --labels 0 --out OUT.npz --guidance 1,2", "(small=1.5): got '1,2'"),
        ("sample MODEL --labels 0 --out OUT.npz --guidance nan", "(small=1.5): got 'nan'"),
        ("sample MODEL --labels 0 --out OUT.npz --guidance small=", "(small=1.5): got 'small='"),
        (
            "sample MODEL --labels 0 --out OUT.npz --guidance 1 --guidance-states x",
            "the lower first, as in 5,15: got 'x'",
        ),
        ("sample MODEL --redraw FILE --from-state 1,2 --out OUT.npz", "(upscaler=5): got '1,2'"),
        (
            "sample MODEL --redraw FILE --from-state 1 --labels 0,1 --out OUT.npz",
            "2 labels came with",
        ),
        ("sample MODEL --labels 0 --out OUT.npz --steps small=3,small=4", "names small twice"),
        ("sample MODEL --labels 0 --out OUT.npz --steps [19,13,6", "upscaler=1): got '[19,13,6'"),
        ("evaluate FILE --metrics fd --judge MODEL", "is no judge, or a damaged one"),
        ("evaluate FILE --metrics fd --judge JUDGE --data digits", "12 x 12"),
        ("study --study.metrics=cas,fid", "unknown metric 'fid'"),
        ("study --study.metrics=kid --study.judge=nowhere", "judge folder not found: nowhere"),
        ("evaluate FILE --data mnits", "did you mean 'mnist'"),
        ("evaluate FILE --judge NONE", "--judge is for fd, kid"),
        ("evaluate FILE --classifiers 2 --cas.classifiers=3", "give one of them"),
        ("models vae", "no trained 'vae' ships with the package"),
        ("models JUDGE", "is a judge"),
        ("reconstruct MODEL --out OUT.npz", "has no autoencoder"),
        ("sample MODEL --labels 0 --out OUT.npz --process.smapler=ddim", "--process.sampler"),
        (
            "sample MODEL --labels 0 --out OUT.npz --stages.smal.process.eta=1",
            "did you mean 'small'",
        ),
        ("sample MODEL --labels 0 --out OUT.npz --process.states=7", "train a new model"),
        ("data mnits", "did you mean 'mnist'"),
        ("data digits --data-dir OUT", "digits comes with the package"),
        ("train small --preset quick --out OUT --data-dir OUT", "digits comes with the package"),
        (f"sample MODEL --labels {'9' * 5000} --out OUT.npz", "takes whole numbers"),
        ("sample MODEL --per-class 999999999999 --out OUT.npz", "a file holds 1,000,000 at most"),
        (
            "sample MODEL --labels 0 --interpolate 999999999999 --out OUT.npz",
            "a file holds 1,000,000 at most",
        ),
        ("sample MODEL --labels 0 --out OUT.jpg", "or a new folder for a PNG file of each image"),
        (
            "sample MODEL --labels 0 --grid a.png --strip ./b/../a.png",
            "--grid and --strip would write the same file",
        ),
        ("plot training MODEL --data nope --out OUT.png", "--data is for a figure that looks at"),
        ("plot training MODEL --out OUT.txt", "--out must end in .png or .svg or .pdf"),
        ("plot training MODEL --out FILE/x.png", "is a file, and a folder is needed there"),
        ("toy --out FILE", "is a file, and a folder is needed there"),
        ("bench --suite --out FILE", "is a file, and a folder is needed there"),
        ("sample MODEL --labels 0 --out=~no-such-user/x", "no home folder for ~no-such-user/x"),
        ("sample MODEL --labels 0 --out=", "--out is empty"),
        ("train small --out=", "--out is empty"),
        ("study --out=", "--out is empty"),
        ("study --study.images=999999999999", "study.images must lie between 1 and 1000000"),
        ("train small --out OUT --train.lr=.inf", "train.lr must be a finite number"),
        ("train small --out OUT --train recipe.yaml", "unknown option --train"),
        ("study --study.methods=cascade", "did you mean 'cascaded'"),
        ("study --preset defualt", "did you mean 'default'"),
        ("plot casss STUDY --out OUT.png", "unknown figure 'casss'"),
        ("evaluate a\0b\x1b[2J --data mnist", "samples file not found: a\\x00b\\x1b[2J"),
    ],
)
def test_unknown_names(
    words: str,
    message: str,
    refused: Callable[..., str],
    samples: Path,
    data_dir: Path,
    model_dir: Path,
    judge_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCALESPACE_DATA", str(data_dir))
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    places = {"OUT": tmp_path / "out", "OUT.npz": tmp_path / "out.npz", "FILE": samples}
    places |= {"OUT.png": tmp_path / "out.png", "MODEL": model_dir, "STUDY": tmp_path}
    places |= {"FILE/x.png": samples / "x.png", "OUT.txt": tmp_path / "out.txt"}
    places |= {"JUDGE": judge_dir, "NONE": tmp_path / "none"}
    assert message in refused(*(places.get(word, word) for word in words.split()))
    assert tree(tmp_path) == before
