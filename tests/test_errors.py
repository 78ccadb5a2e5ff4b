"""A message stays one short line, whatever it quotes."""

import pickle

import pytest
from tests.fuzz.mutate import TWO_LINES

from lll.errors import UserError
from lll.words import visible


@pytest.mark.parametrize(
    "quoted", ["x" * 10**6, "\n" * 500, "a\r\nb", "\x1b[2J", "\udcff", "\u202e"]
)
def test_a_message_is_one_short_printable_line(quoted):
    message = str(UserError(f"Unknown class {quoted} in names.txt: correct it"))
    assert visible(message) == message
    assert message.startswith("Unknown class ") and message.endswith(" in names.txt: correct it")
    assert len(message) <= TWO_LINES


def test_plain_words_stay_as_they_are():
    message = "Unknown class 'Übergröße  猫' in names.txt: did you mean 'größe'?"
    assert str(UserError(message)) == message
    assert str(pickle.loads(pickle.dumps(UserError(message)))) == message
