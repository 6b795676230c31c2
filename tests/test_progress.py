"""Progress bars in a terminal, and in a log."""

from __future__ import annotations

import io
import sys

import pytest

from scalespace.progress import LOG_SECONDS, bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with bar(2000, "train", "step", shown=True, done=5) as shown:
        assert shown.mininterval == LOG_SECONDS
        assert shown.n == 5
        for _ in range(1995):
            shown.update()
    assert log.getvalue().count("\r") <= 3
    assert "2000/2000" in log.getvalue()


def test_a_terminal_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with bar(1, "train", "step", shown=True) as shown:
        assert shown.mininterval < 1


def test_nothing_is_shown_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with bar(10, "train", "step", shown=False) as shown:
        shown.update(10)
    assert log.getvalue() == ""


def test_no_standard_error_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with bar(10, "train", "step", shown=False) as shown:
        shown.update()
