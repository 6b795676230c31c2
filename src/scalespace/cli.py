"""The command line: each verb reads its options and calls one documented function."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scalespace.errors import InputError, unknown

VERBS = {
    "study": "train, sample, score and time methods over several seeds, and write the report",
    "train": "train one method, or a judge",
    "sample": "make images with a trained method",
    "reconstruct": "send images through a trained autoencoder and back",
    "evaluate": "score a samples file against real data",
    "bench": "time trained methods",
    "plot": "draw one figure of a study, a judge or a model",
    "models": "list the methods, or tell about a trained model",
    "data": "fetch, verify and show a data set",
    "toy": "diffuse points on a line, where the best network is known exactly",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command line; exits with 0, or 2 and one clear line for bad input."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        _dispatch(arguments)
    except InputError as error:
        _stop(2, str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader of our output has left: nothing to say, nobody to tell
            sys.exit(0)
        where = f" {error.filename}" if error.filename else ""
        _stop(2, f"cannot read or write{where}: {error.strerror or error}")
    except KeyboardInterrupt:
        resumes = arguments[:1] in (["train"], ["study"])
        more = "; the same command goes on where it was" if resumes else ""
        _stop(130, f"interrupted{more}")


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return
    verb, rest = arguments[0], arguments[1:]
    if verb in ("-V", "--version"):
        from scalespace import __version__

        print(f"scalespace {__version__}")
        return
    if verb not in VERBS:
        raise unknown("command", verb, VERBS)
    from scalespace import verbs  # heavy: only once there is something to do

    verbs.run(verb, rest)


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "usage: scalespace COMMAND [options]",
            "",
            "Class-conditional image diffusion across scales: train, sample, score, compare.",
            "",
            *lines,
            "",
            "scalespace COMMAND --help tells the options of one command.",
        ]
    )


def _stop(code: int, message: str) -> None:
    print(f"scalespace: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
