"""What is wrong with a setting, in one line."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

SAID = {
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "int_type": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "string_type": "write text",
    "bool_parsing": "write yes or no",
    "literal_error": "choose {expected}",
    "greater_than": "choose more than {gt:g}",
    "greater_than_equal": "choose {ge:g} or more",
    "less_than": "choose less than {lt:g}",
    "less_than_equal": "choose {le:g} or less",
}
"""What to do about a value that pydantic refuses, by the type of its complaint."""


def one_line(error: ValidationError, help_of: Callable[[str], str]) -> str:
    """The first complaint of ``error`` as one line that names the key and the remedy.

    ``help_of`` says what a setting is.
    """
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return f"{name} is missing: {help_of(name)}"
    said = SAID.get(first["type"])
    message = said.format(**first["ctx"]) if said and "ctx" in first else said or first["msg"]
    message = message.removeprefix("Value error, ")
    if not name:
        return message
    given = first.get("input")
    shown = "" if str(given) in message else f" (given {given!r})"
    return f"{name}: {message[:1].lower()}{message[1:]}{shown}"
