"""The command line: thin commands over the library, with no heavy import before one runs."""

from __future__ import annotations

import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lll.config import RunConfig, read_toml
from lll.types import UserError

if TYPE_CHECKING:
    from lll.data import Progress
    from lll.prepare import Prepared
    from lll.runs import Run
    from lll.training import Watch
    from lll.types import DataSet, Skipped

_FLAG_NAMES = {"from_run": "--from"}
# Newer typers carry a click of their own; the public BadParameter leads to either.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Train image classifiers from few labels that arrive little by little.",
)
data_app = typer.Typer(no_args_is_help=True, help="Fetch a data set, or look at one.")
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result and nothing else.")]
Cache = Annotated[
    Path | None, typer.Option(envvar="LLL_CACHE", help="Folder where downloads are kept.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse images that cannot be read.")]
ConfigFile = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG.toml]", help="Settings; a flag wins over them.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def main() -> None:
    """Run the command line; exit 2 with one line for bad input."""
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        sys.exit(_complain(str(error), 2))
    except _UsageError as error:
        message = _usage_line(error)
        sys.exit(_complain(f"{message} (see `lll --help`)", 2) if message else 2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(_complain("interrupted", 130))
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_line(error: Any) -> str:
    return str(error.format_message())


def _complain(message: str, code: int) -> int:
    print(f"lll: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201
    return code


def _with_config_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` one flag for each field of RunConfig in place of its ``**flags``."""
    own = [
        p
        for p in inspect.signature(command, eval_str=True).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    flags = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                str | None,
                typer.Option(
                    _FLAG_NAMES.get(name, "--" + name.replace("_", "-")),
                    help=_help_of(name),
                    metavar=name.split("_")[-1].upper(),
                    show_default=False,
                ),
            ],
        )
        for name in RunConfig.model_fields
    ]
    command.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
    return command


def _help_of(name: str) -> str:
    field = RunConfig.model_fields[name]
    text = (field.description or "").capitalize()
    return text if field.default is None or field.is_required() else f"{text} ({field.default})"


def _config(file: Path | None, flags: dict[str, str | None]) -> RunConfig:
    given = {} if file is None else read_toml(file)
    return RunConfig(**(given | {name: text for name, text in flags.items() if text is not None}))


@app.command("train")
@_with_config_flags
def train_command(
    config_file: ConfigFile = None,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Run folder to make (runs/DATA-METHOD-seedN).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")] = False,
    strict: Strict = False,
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
    **flags: str | None,
) -> None:
    """Train a classifier. Every setting is a flag, or a key of the same name in CONFIG.toml.

    Ranges are written low:high, as in --classes 8:10 or --labels 0.01:0.9; a rule may follow,
    as in 0.01:0.9:linear (epoch, fraction, decay, linear, cosine, step); --labels 4/class
    counts per class; 0=5,10=8 lists epoch=value. Defaults depend on the method and the data.
    """
    config = _config(config_file, flags)
    from lll.training import check_names, train

    check_names(config)
    out = out or Path("runs") / _default_name(config)
    data = _load(config.data, config, cache=cache, strict=strict, quiet=quiet or as_json)
    with _watching(quiet, as_json) as watch:
        run = train(config, out, data=data, overwrite=overwrite, watch=watch)
    _say_result(run, quiet, as_json)


@app.command("resume")
def resume_command(
    run: RunFolder,
    checkpoint: Annotated[
        str, typer.Option(help="Go back to this checkpoint, as epoch-0003.")
    ] = "latest",
    cache: Cache = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped, from its latest checkpoint to the same end."""
    from lll.runs import load_run
    from lll.training import resume

    loaded = load_run(run)
    if loaded.finished and checkpoint == "latest":
        _say_result(loaded, quiet, as_json)
        return
    data = _load(loaded.config.data, loaded.config, cache=cache, quiet=quiet or as_json)
    with _watching(quiet, as_json) as watch:
        finished = resume(run, data=data, checkpoint=checkpoint, watch=watch)
    _say_result(finished, quiet, as_json)


@app.command("schedule")
@_with_config_flags
def schedule_command(
    config_file: ConfigFile = None,
    *,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the plan into this file (png, svg or pdf).")
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
    **flags: str | None,
) -> None:
    """Show what would be known when, without training. Takes the flags of `lll train`."""
    config = _config(config_file, flags)
    from lll.plots.schedule import draw_schedule
    from lll.prepare import plan_rows, prepare
    from lll.training import check_names

    check_names(config)
    data = _load(config.data, config, cache=cache, quiet=as_json)
    prepared = prepare(config, data)
    rows = plan_rows(prepared)
    if as_json:
        for row in rows:
            _say_json(row)
    else:
        _say_plan(prepared)
    if picture is not None:
        draw_schedule(rows, picture)
        Console(stderr=as_json).print(f"drawn into {picture}", highlight=False)


@app.command("predict")
def predict_command(
    run: RunFolder,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write (standard output).")] = None,
    checkpoint: Annotated[
        str, typer.Option(help="chosen (best on validation), latest, or epoch-0003.")
    ] = "chosen",
    strict: Strict = False,
) -> None:
    """Classify images with a run: a CSV of path, class and probability."""
    import csv

    from lll.predict import predict_files
    from lll.runs import load_run

    predictions, skipped = predict_files(
        load_run(run), images, checkpoint=checkpoint, strict=strict
    )
    _say_skipped(skipped)
    with _csv_target(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "class", "probability"))
        for p in predictions:
            writer.writerow((p.path, p.class_name, f"{p.probability:.4f}"))


@data_app.command("fetch")
def fetch_command(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.")], cache: Cache = None
) -> None:
    """Download a data set once, check it, and keep it for every later command."""
    from lll.data import fetch

    with _download_bar(name, quiet=False) as progress:
        path = fetch(name, cache, progress)
    print(path)  # noqa: T201


@data_app.command("info")
def info_command(
    source: Annotated[str, typer.Argument(metavar="NAME_OR_PATH")],
    image_size: Annotated[int, typer.Option(help="Side in pixels to resize to.")] = 32,
    test_share: Annotated[float, typer.Option(help="Share for test if there is no split.")] = 0.2,
    strict: Strict = False,
    cache: Cache = None,
    as_json: Json = False,
) -> None:
    """Say what is in a data set: classes, counts, and the images that cannot be read."""
    from lll.data import describe, load_data

    with _download_bar(source, quiet=as_json) as progress:
        data = load_data(
            source,
            cache=cache,
            image_size=image_size,
            test_share=test_share,
            strict=strict,
            progress=progress,
        )
    facts = describe(data)
    if as_json:
        _say_json(facts)
    else:
        _say_info(facts)


def _default_name(config: RunConfig) -> str:
    data = Path(config.data).resolve().stem
    method = config.method if config.rule is None else f"{config.method}-{config.rule}"
    return f"{data}-{method}-seed{config.seed}"


def _load(
    source: str, config: RunConfig, *, cache: Path | None, quiet: bool, strict: bool = False
) -> DataSet:
    from lll.data import load_data

    with _download_bar(source, quiet=quiet) as progress:
        data = load_data(
            source,
            cache=cache,
            image_size=config.image_size,
            test_share=config.test_share,
            strict=strict,
            progress=progress,
        )
    if not quiet:
        _say_skipped(data.skipped)
    return data


def _say_skipped(skipped: tuple[Skipped, ...]) -> None:
    if skipped:
        first = skipped[0]
        _complain(
            f"{len(skipped)} images skipped, first {first.path}: {first.reason} "
            "(`lll data info` lists them, --strict refuses them)",
            0,
        )


@contextmanager
def _download_bar(name: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error that appears once there is something to download."""
    from rich import progress

    if quiet:
        yield None
        return
    columns = (
        "{task.description}",
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: list[Any] = []

        def update(done_bytes: int, total_bytes: int) -> None:
            if not tasks:
                tasks.append(bar.add_task(f"downloading {name}", total=total_bytes or None))
            bar.update(tasks[0], completed=done_bytes)

        yield update


@contextmanager
def _watching(quiet: bool, as_json: bool) -> Iterator[Watch]:
    """Looks on as a run trains, and turns Ctrl-C and SIGTERM into a saved stop."""
    from lll.training import RunStopped

    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    before = {s: signal.signal(s, remember) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _display(quiet, as_json, lambda: bool(received)) as watch:
            yield watch
    except RunStopped as stop:
        name = signal.Signals(received[0]).name
        _complain(f"{name}: saved at {stop.position}; go on with `lll resume {stop.run}`", 0)
        raise typer.Exit(128 + received[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _display(quiet: bool, as_json: bool, should_stop: Callable[[], bool]) -> Iterator[Watch]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lll.training import Watch

    if as_json:
        yield Watch(
            on_plan=lambda prepared, run: _say_json_plan(prepared, run),
            on_epoch=lambda metrics, seconds: _say_json({"event": "epoch", **metrics, **seconds}),
            should_stop=should_stop,
        )
        return
    if quiet:
        yield Watch(should_stop=should_stop)
        return
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", visible=False)
        total = 0

        def on_plan(prepared: Prepared, run: Run) -> None:
            nonlocal total
            total = prepared.config.epochs
            _say_plan(prepared, bar.console)
            bar.console.print(f"run      {run.path}", highlight=False)
            if run.metrics:
                bar.console.print(f"resumed  after {len(run.metrics)} of {total} epochs")

        def on_step(epoch: int, step: int, steps: int) -> None:
            bar.update(
                task,
                description=f"epoch {epoch + 1}/{total}",
                completed=step,
                total=steps,
                visible=True,
            )

        def on_epoch(metrics: dict[str, Any], seconds: dict[str, float]) -> None:
            bar.console.print(_epoch_line(metrics, seconds, total), highlight=False, soft_wrap=True)
            bar.reset(task, visible=False)

        yield Watch(on_plan, on_step, on_epoch, should_stop)


def _epoch_line(metrics: dict[str, Any], seconds: dict[str, float], total: int) -> str:
    losses = "  ".join(
        f"{name.removesuffix('_loss')} {value:.3f}"
        for name, value in metrics.items()
        if name.endswith("_loss")
    )
    epoch = metrics["epoch"] + 1
    return (
        f"epoch {epoch:>{len(str(total))}}/{total}  {metrics['classes']} classes  "
        f"{metrics['labels_known']} labels  {losses}  "
        f"validation {_percent(metrics['validation_accuracy'])}  "
        f"test {_percent(metrics['test_accuracy'])}  {seconds['seconds']:.1f} s"
    )


def _percent(share: float | None) -> str:
    return "  –  " if share is None else f"{100 * share:.1f}%"


def _say_plan(prepared: Prepared, console: Console | None = None) -> None:
    """Data, method and the table of what is known when; long runs show every few epochs."""
    from rich import box
    from rich.table import Table

    from lll.prepare import plan_rows

    console = console or Console()
    config, facts = prepared.config, prepared.facts
    console.print(
        f"data     {facts.name}: {len(facts.class_names)} classes, {facts.train} training, "
        f"{facts.validation} validation, {facts.test} test images",
        highlight=False,
    )
    for number, stage in enumerate(prepared.stages):
        steps = ", ".join(f"{step.name} → {' + '.join(step.reaches)}" for step in stage)
        title = f"{config.method}" if len(prepared.stages) == 1 else f"stage {number + 1}"
        console.print(f"method   {title}: {steps}", highlight=False)
    console.print(
        f"encoder  {config.encoder}, {config.activation}, width {config.width}, "
        f"on {prepared.device}, {config.epochs} epochs of batch size {config.batch_size}",
        highlight=False,
    )
    rows = plan_rows(prepared)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("epoch", "classes", "labels known", "unlabelled", "rates: encoder", "probe"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("known / all", no_wrap=True)
    most = max(row["labels_known"] + row["unlabelled"] for row in rows)
    every = -(-len(rows) // 24)
    for row in rows:
        if row["epoch"] % every and row is not rows[-1]:
            continue
        table.add_row(
            str(row["epoch"]),
            str(row["classes"]),
            f"{row['labels_known']} ({100 * row['label_rate']:.0f}%)",
            str(row["unlabelled"]),
            f"{row['contrastive_rate']:.2g}",
            f"{row['probe_rate']:.2g}",
            _bar(row["labels_known"], row["unlabelled"], most),
        )
    console.print(table)


def _bar(labelled: int, unlabelled: int, most: int, width: int = 16) -> str:
    """Labelled images as full blocks, unlabelled ones as light ones, of ``most`` images."""
    full, both = (
        round(width * count / max(most, 1)) for count in (labelled, labelled + unlabelled)
    )
    return "█" * full + "░" * (both - full)


def _say_json_plan(prepared: Prepared, run: Run) -> None:
    from lll.prepare import plan_rows

    _say_json(
        {
            "event": "plan",
            "run": str(run.path),
            "data": asdict(prepared.facts),
            "config": prepared.config.to_dict(),
            "epochs": plan_rows(prepared),
        }
    )


def _say_json(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201


def _say_result(run: Run, quiet: bool, as_json: bool) -> None:
    result = run.result
    if as_json:
        _say_json({"event": "result", **result})
        return
    console = Console()
    chosen = result["chosen_epoch"]
    lines = [f"test accuracy {_percent(result['test_accuracy_final'])} after the final epoch"]
    if chosen is not None:
        lines.append(
            f"test accuracy {_percent(result['test_accuracy_chosen'])} after epoch "
            f"{chosen + 1}, chosen on validation"
        )
    lines.append(f"{result['seconds_per_epoch']:.1f} s per epoch")
    lines.append(f"run in {run.path}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    if not quiet:
        console.print(f"next: lll predict {run.path} IMAGES…", highlight=False, soft_wrap=True)


def _say_info(facts: dict[str, Any]) -> None:
    from rich.table import Table

    console = Console()
    height, width, _ = facts["image_shape"]
    console.print(
        f"{facts['name']}: {facts['train']} training images ({facts['unlabelled']} without a "
        f"label), {facts['test']} test images, {width}x{height} pixels, "
        f"{facts['bytes'] / 2**20:.1f} MiB",
        highlight=False,
    )
    table = Table("class", "training", "test")
    for row in facts["classes"]:
        table.add_row(row["name"], str(row["train"]), str(row["test"]))
    console.print(table)
    for skip in facts["skipped"]:
        console.print(f"skipped {skip['path']}: {skip['reason']}", highlight=False, markup=False)


@contextmanager
def _csv_target(out: Path | None) -> Iterator[Any]:
    if out is None:
        yield sys.stdout
        return
    try:
        with out.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    main()
