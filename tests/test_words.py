"""Tables for people: no cell runs as a formula, and what was written is read back."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lll.words import cell_text, csv_text

RUNS = tuple("=+-@\t\r\n＝＋－＠")
TEXTS = st.text(st.sampled_from(["'", "=", "-", "1", ",", '"', "\n", "\r", "猫"]), max_size=6)


@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=5))
def test_no_cell_runs_and_all_are_read_back(rows):
    cells = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert not any(cell.startswith(RUNS) for row in cells for cell in row)
    assert [[cell_text(cell) for cell in row] for row in cells] == rows


@pytest.mark.parametrize("text", ["", "a.png", "'tis", "1=1", "a@b", "a-1"])
def test_other_text_is_written_as_it_is(text):
    assert csv_text([["x", text]]) == f"x,{text}\n"
    assert cell_text(text) == text


def test_numbers_stay_numbers():
    assert csv_text([[-1, -0.5, 3]]) == "-1,-0.5,3\n"
