"""The command line: each verb reads its options and calls one documented function."""

from __future__ import annotations

import codecs
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scalespace.errors import InputError, unknown

VERBS = {
    "study": "train, sample, score and time methods over several seeds, and write the report",
    "train": "train one method, or a judge",
    "sample": "make images with a trained method",
    "serve": "show a live page on which trained models make images",
    "reconstruct": "send images through a trained autoencoder and back",
    "evaluate": "score a samples file against real data",
    "bench": "time trained methods",
    "export": "write a trained model as an ONNX file",
    "report": "write a study's report anew, or a page that compares several studies",
    "plot": "draw one figure of a study, a judge or a model",
    "models": "list the methods, or describe a trained model",
    "logs": "write TensorBoard event files from the metrics of trainings",
    "data": "fetch, verify and show a data set",
    "toy": "diffuse points on a line, where the best network is known exactly",
    "completion": "print the script by which a shell completes these commands",
}


NO_MEMORY = ("can't allocate memory", "out of memory")
"""Parts of torch's messages on a CPU and on a GPU; both come as a plain `RuntimeError`."""
LONGEST = 1200
"""The most characters of a message."""
PLAIN = "scalespace.plain"
"""The error handler of outputs that cannot encode every character, such as pipes on Windows."""
SPELT = {"−": "-", "±": "+/-", "×": "x", "–": "-", "…": "...", "“": '"', "”": '"', "é": "e"}


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(SPELT.get(letter, "?") for letter in letters), error.end


codecs.register_error(PLAIN, _plain)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command line; exits with 2 and a one-line message for bad input, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAIN)
    try:
        _dispatch(arguments)
    except InputError as error:
        _stop(2, str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # nobody reads our output any more
            sys.exit(0)
        where = f" {error.filename}" if error.filename else ""
        _stop(2, f"cannot read or write{where}: {error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in NO_MEMORY):
            raise
        _stop(2, "not enough memory: ask for fewer images, a smaller batch or a smaller network")
    except KeyboardInterrupt:
        _stop(130, _interrupted(arguments))


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
    with _abrupt(_interrupted(arguments)):
        from scalespace import plugins, verbs  # heavy: only once there is something to do

        for line in plugins.load():
            _tell(line)
    verbs.run(verb, f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}.", rest)


@contextmanager
def _abrupt(message: str) -> Iterator[None]:
    """Exits at once on Ctrl-C, which libraries might swallow while they are imported."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored by the shell, or handled by a host program
        return

    def leave(*_: object) -> None:
        print(f"scalespace: {message}", file=sys.stderr, flush=True)
        os._exit(130)

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupted(arguments: list[str]) -> str:
    resumes = arguments[:1] in (["train"], ["study"])
    return "interrupted" + ("; run the same command again to resume" if resumes else "")


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
            "scalespace COMMAND --help lists the options of a command.",
        ]
    )


def _visible(letter: str) -> str:
    """A letter; its number where a terminal would obey it (escape), or could not show it."""
    return letter if letter.isprintable() else letter.encode("unicode-escape").decode()


def _tell(message: str) -> None:
    """One line on standard error."""
    text = "".join(map(_visible, " ".join(message.split())))
    if len(text) > LONGEST:  # it quotes long input: keep both ends
        text = f"{text[: 2 * LONGEST // 3]} ... {text[-LONGEST // 3 :]}"
    print(f"scalespace: {text}", file=sys.stderr)


def _stop(code: int, message: str) -> None:
    _tell(message)
    sys.exit(code)


if __name__ == "__main__":
    main()
