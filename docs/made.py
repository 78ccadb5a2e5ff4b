"""The pages that are made from the code: methods, losses and rules, commands, settings.

``python docs/made.py`` writes the tables of the README anew.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import lll
import lll.methods
import lll.methods.features
import lll.methods.losses
import lll.methods.sandbox
from lll.cli import COMMANDS, GROUPS
from lll.cli.flags import with_names
from lll.config import fields_of
from lll.methods import METHODS
from lll.methods.method import Method, Step, through_probe
from lll.methods.sandbox import RULES


def write_pages(folder: Path) -> None:
    """Write all of them into ``folder``, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = {f"methods/{name}": page_of(name) for name in METHODS}
    pages["methods"] = overview()
    pages["losses"] = functions_page("Losses", lll.methods.losses)
    pages["features"] = functions_page("Learners on features", lll.methods.features)
    pages["rules"] = functions_page("Sandbox rules", lll.methods.sandbox)
    pages["results"] = results_page()
    pages["python"] = python_page()
    pages["commands"] = commands_page()
    pages["settings"] = settings_page()
    for name, lines in pages.items():
        path = folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def with_tables(readme: str) -> str:
    """The text of the README with its tables as the code has them."""
    for name, lines in (("methods", methods_table()), ("rules", rules_line())):
        begin, end = f"<!-- {name}: made by docs/made.py -->\n", f"<!-- end of {name} -->\n"
        before, rest = readme.split(begin)
        made = "\n".join(lines)
        readme = f"{before}{begin}\n{made}\n\n{end}{rest.split(end)[1]}"
    return readme


def methods_table() -> Iterator[str]:
    """Every method, what it learns by, and what it learns on."""
    rows = (
        (f"`{name}`", how.summary, "features" if how.fit else "images, features")
        for name, how in METHODS.items()
    )
    return table(("`--method`", "learns by", "on"), rows)


def rules_line() -> Iterator[str]:
    """The names of the sandbox rules."""
    names = ", ".join(f"`{name}`" for name in RULES)
    yield from textwrap.wrap(f"Rules: {names}.", 100, break_on_hyphens=False)


def overview() -> Iterator[str]:
    """Every method in a line: what it learns by, and when to take it."""
    yield "# Methods\n"
    rows = ((f"[`{name}`](methods/{name}.md)", when_of(name)) for name in METHODS)
    yield from table(("method", "when to use it"), rows)
    yield "\n```{toctree}\n:hidden:\n"
    yield from (f"methods/{name}" for name in METHODS)
    yield "losses\nfeatures\nrules\n```"


def page_of(name: str) -> Iterator[str]:
    """The page of one method, from its module, options, steps and defaults."""
    method = METHODS[name]
    yield f"# `{name}`\n\n{text_of(module_of(method))}\n"
    yield f"```console\nlll train photos/ --method {name}\n```\n"
    for title, lines in (
        ("Steps", stages_of(method)),
        ("Functions", functions_of(module_of(method)) if method.fit else ()),
        ("Answers", [] if method.answers is through_probe else [text_of(method.answers)]),
        ("Options", options_of(method)),
        ("Defaults of its own", defaults_of(method)),
    ):
        if found := list(lines):
            yield "\n".join([f"## {title}\n", *found, ""])


def stages_of(method: Method) -> Iterator[str]:
    """The steps of each stage in order."""
    stages = [stage for stage in method.stages(method.options()) if stage]
    for number, stage in enumerate(stages, 1):
        if len(stages) > 1:
            yield f"### Stage {number}\n"
        for step in stage:
            yield from step_of(step)
    if stages:
        yield "The formulas are under [losses](../losses.md)."


def step_of(step: Step) -> Iterator[str]:
    """A step, and the parts that its gradient reaches."""
    reached = ", ".join(f"`{part}`" for part in step.reaches)
    yield f"**{step.name}** reaches {reached or 'what its rule says'}.\n\n{text_of(step.run)}\n"


def options_of(method: Method) -> Iterable[str]:
    """A table of the options that the method owns."""
    fields = method.options.model_fields
    rows = (
        (f"`--{name.replace('_', '-')}`", f"`{field.default}`", field.description or "")
        for name, field in fields.items()
    )
    return table(("option", "default", ""), rows) if fields else ()


def defaults_of(method: Method) -> Iterable[str]:
    """What the method changes of the settings' defaults."""
    changed = method.defaults({})
    rows = ((f"`--{name.replace('_', '-')}`", f"`{value}`") for name, value in changed.items())
    return table(("setting", "default"), rows) if changed else ()


def module_of(method: Method) -> ModuleType:
    """The module that defines ``method``."""
    for module in modules_in(lll.methods):
        if any(value is method for value in vars(module).values()):
            return module
    raise LookupError(method.summary)


def when_of(name: str) -> str:
    """The paragraph of the method's docstring that begins with "Use it"."""
    found = re.search(r"^Use it .*?(?=\n\n|\Z)", text_of(module_of(METHODS[name])), re.M | re.S)
    if found is None:
        raise LookupError(f"method {name}: its docstring has no paragraph that begins 'Use it'")
    return found[0].replace("\n", " ")


def functions_page(title: str, package: ModuleType) -> Iterator[str]:
    """The public functions of tensors in the modules of ``package``, with their formulas."""
    yield f"# {title}\n\n{text_of(package)}\n"
    for module in modules_in(package):
        if found := list(functions_of(module)):
            yield "\n".join([f"## {module.__name__.split('.')[-1]}\n", text_of(module), "", *found])


def functions_of(module: ModuleType) -> Iterator[str]:
    """The public functions that ``module`` defines."""
    for name, function in vars(module).items():
        own = inspect.isfunction(function) and function.__module__ == module.__name__
        if own and not name.startswith("_"):
            yield f"### `{name}`\n\n{text_of(function)}\n"


def modules_in(package: ModuleType) -> Iterator[ModuleType]:
    """The modules below ``package``, without itself."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield import_module(found.name)


def python_page() -> Iterator[str]:
    """Every public name of `lll`, a class with the methods that it defines."""
    yield "# Python\n"
    for name in lll.__all__:
        value = getattr(lll, name)
        yield from entry(f"## `lll.{name}`", value)
        for member, function in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isfunction(function) and function.__doc__ and not member.startswith("_"):
                yield from entry(f"### `{name}.{member}`", function)


def entry(title: str, what: Any) -> Iterator[str]:
    """A heading, a signature and a docstring."""
    yield f"{title}\n"
    if not (inspect.isclass(what) and issubclass(what, Exception)):
        yield f"```python\n{what.__name__}({', '.join(signature_of(what))})\n```\n"
    yield f"{text_of(what)}\n"


def signature_of(what: Any) -> Iterator[str]:
    """Names of parameters, with what they are unless given; a star before those by name only."""
    starred = False
    for name, parameter in inspect.signature(what).parameters.items():
        if name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        given = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        sign = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
        yield f"{sign}{name}{given}"


def commands_page() -> Iterator[str]:
    """What each command does; `--help` of each has its flags."""
    yield "# Commands\n\n`lll COMMAND --help` lists the flags of each.\n"
    named = dict(COMMANDS)
    for group, (_, commands) in GROUPS.items():
        named |= {f"{group} {name}": command for name, command in commands.items()}
    for name, command in named.items():
        yield f"## `lll {name}`\n\n{text_of(with_names(command))}\n"


def results_page() -> Iterator[str]:
    """The log: the best so far, then dated results with their commands. Its links are for files."""
    log = (Path(__file__).parents[1] / "LOG.md").read_text("utf-8")
    yield re.sub(r"!?\[([^]]*)\]\((?!https?:)[^)]*\)", r"\1", log)


def settings_page() -> Iterator[str]:
    """Every setting of a run: a flag of `lll train`, a key in TOML, a field of `RunConfig`."""
    yield "# Settings\n\nEach is a flag of `lll train`, a key in TOML, a field of `RunConfig`.\n"
    settings = fields_of()
    for group in dict.fromkeys(about.group for about in settings.values()):
        yield f"## {group}\n"
        rows = (
            (f"`{name}`", "" if about.default is None else f"`{about.default}`", about.help)
            for name, about in settings.items()
            if about.group == group
        )
        yield from table(("setting", "default", ""), rows)
        yield ""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


def text_of(what: Any) -> str:
    """A docstring as Markdown, which it nearly is: but for headings, lists of names, doctests."""
    text = inspect.cleandoc(what.__doc__ or "")
    text = re.sub(r"^(\w+)\n-+$", r"**\1**\n", text, flags=re.MULTILINE)
    text = re.sub(r"^(\w[\w, ]*) : ", r"- `\1`: ", text, flags=re.MULTILINE)
    return re.sub(
        r"^(?:>>>|\.\.\. ).*?(?=\n\n|\Z)", r"```python\n\g<0>\n```", text, flags=re.M | re.S
    )


if __name__ == "__main__":
    file = Path(__file__).parents[1] / "README.md"
    file.write_text(with_tables(file.read_text("utf-8")), "utf-8")
