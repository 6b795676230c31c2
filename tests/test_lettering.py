"""Words above columns of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalespace.figures.lettering import cut, fitted, font
from scalespace.figures.sheets import LINE, SECOND, Block

SIZES = (17.0, 15.0, 13.0)
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Ankle boot"]


def widest(words: list[str], size: float) -> float:
    return max(font(size).getlength(line) for word in words for line in word.split("\n"))


def test_words_that_fit_stay_as_they_are() -> None:
    digits = [str(k) for k in range(10)]
    assert fitted(digits, 56, SIZES) == (17.0, digits)
    assert fitted([], 56, SIZES).lines == 0


def test_words_get_smaller_before_they_are_cut() -> None:
    lettering = fitted(CLOTHES, 56, SIZES)
    assert lettering.size == 13.0
    assert lettering.words == ["T-shirt/\ntop", "Trouser", "Pullover", "Dress", "Ankle\nboot"]
    assert lettering.lines == 2
    assert fitted(CLOTHES, 120, SIZES) == (17.0, CLOTHES)
    assert fitted(CLOTHES, 30, SIZES).words[2].endswith("…")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("abW mi-/", min_size=1, max_size=14), min_size=1, max_size=5),
    st.floats(25, 120),
)
def test_nothing_reaches_into_the_next_column(words: list[str], width: float) -> None:
    lettering = fitted(words, width, SIZES)
    assert widest(lettering.words, lettering.size) <= width
    assert lettering.lines <= 2
    for word, shown in zip(words, lettering.words, strict=True):
        whole = shown.replace("\n", "").replace(" ", "") == word.replace(" ", "")
        assert whole or (shown.endswith("…") and word.startswith(shown[:-1]))


def test_one_letter_is_left_of_a_word_that_is_much_too_wide() -> None:
    assert cut("WWWW", 1, 13.0) == "…"


@pytest.mark.parametrize(("words", "second"), [(["1", "2"], 0), (["Ankle boot", "Bag"], SECOND)])
def test_a_sheet_makes_room_for_a_second_line(words: list[str], second: int) -> None:
    block = Block(np.zeros((2, 28, 28)), 2, 2, top=words, title="seed 0")
    assert block.head == 2 * LINE + second
