"""Label events in a CSV."""

import pytest

from lll.errors import UserError
from lll.labels.events import LabelEvent, read_events
from lll.words import csv_text


def test_events_are_read_back_as_they_were_written(tmp_path):
    path = tmp_path / "labels.csv"
    rows = [("id", "label", "epoch", "origin"), ("=1.png", "+5C", 0, "person"), ("b", "a", 12, "")]
    path.write_text(csv_text(rows))
    assert read_events(path, ("a", "+5C")) == [
        LabelEvent("=1.png", 1, 0, "person"),
        LabelEvent("b", 0, 12, "import"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b", "unknown class ''"),
        (",a,0", "no id"),
        ("b,a,-1", "write a whole number"),
        ("b,a," + "9" * 5000, "write a whole number"),
    ],
)
def test_a_row_that_says_too_little_is_named(tmp_path, row, said):
    path = tmp_path / "labels.csv"
    path.write_text(f"id,label,epoch\n{row}\n")
    with pytest.raises(UserError, match=f"line 2: .*{said}"):
        read_events(path, ("a",))
