import json
import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lll.config import RunConfig, differing, fields_of, read_toml
from lll.errors import UserError
from lll.labels.schedule import Schedule, parse_schedule
from lll.methods import METHODS

light = settings(deadline=None, max_examples=80)

SPECIFIED = ["baseline", "self_supervised", "finetune", "gradual", "sandbox"]
"""The methods that have the defaults of the specification."""


def test_toml_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "c.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert read_toml(tmp_path / "c.toml") == {"epochs": 3}


def complaint(**given):
    """The one line that RunConfig says about ``given``."""
    with pytest.raises(UserError) as caught:
        RunConfig(**{"data": "x"} | given)
    message = str(caught.value)
    assert "\n" not in message
    assert message
    return message


# Defaults, as the spec writes them (its sections 3 to 5).

EVERY_METHOD = {
    "class_order": "data",
    "unlabelled_pool": "represented",
    "epochs": 20,
    "batch_size": 525,
    "labelled_batch_size": None,
    "encoder": "convnet",
    "width": 128,
    "flip": 0.5,
    "strong_min_area": 0.25,
    "strong_brightness": 0.6,
    "strong_jitter": 0.2,
    "weak_min_area": 0.75,
    "weak_brightness": 0.3,
    "weak_jitter": 0.1,
    "image_size": 32,
    "validation_share": 0.1,
    "from_run": None,
}
UP_TO_ALL = Schedule(5, None)  # 5 to 10 on the spec's ten classes
ALL = Schedule(math.inf, None)
RELU, LEAKY = "relu", "leaky_relu"


@pytest.mark.parametrize("method", SPECIFIED)
@pytest.mark.parametrize("key", sorted(EVERY_METHOD))
def test_defaults_of_every_method(method, key):
    assert getattr(RunConfig(data="x", method=method), key) == EVERY_METHOD[key]


@pytest.mark.parametrize(
    ("method", "classes", "labels", "contrastive_rate", "probe_rate", "activation"),
    [
        ("baseline", UP_TO_ALL, (0.5, 0.5), (0.001, 0.001), (0.01, 0.01), RELU),
        ("self_supervised", UP_TO_ALL, (0.5, 0.5), (0.001, 0.001), (0.01, 0.01), RELU),
        ("gradual", Schedule(8, None), (0.01, 0.9), (0.001, 0.001), (0.01, 0.03), LEAKY),
        ("sandbox", ALL, (0.1, 0.9), (0.01, 0.01), (0.01, 0.01), LEAKY),
    ],
)
def test_defaults_of_each_method(method, classes, labels, contrastive_rate, probe_rate, activation):
    config = RunConfig(data="x", method=method)
    assert config.classes == classes
    assert config.labels == Schedule(*labels)
    assert config.contrastive_rate == Schedule(*contrastive_rate)
    assert config.probe_rate == Schedule(*probe_rate)
    assert config.activation == activation


def test_finetune_begins_as_self_supervised_does():
    first, stages = (RunConfig(data="x", method=m) for m in ("self_supervised", "finetune"))
    assert differing(first.to_dict(), stages.to_dict()) == ["method", "pretrain_epochs"]


def test_gradual_is_the_default_method():
    assert RunConfig(data="x") == RunConfig(data="x", method="gradual")


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_belongs_to_the_sandbox_alone(method):
    assert ("rule" in RunConfig(data="x", method=method).to_dict()) == (method == "sandbox")


@pytest.mark.parametrize(("epochs", "pretrain"), [(20, 10), (7, 3), (1, 0), ("8", 4)])
def test_finetune_pretrains_for_half_of_its_epochs(epochs, pretrain):
    assert RunConfig(data="x", method="finetune", epochs=epochs).options.pretrain_epochs == pretrain


def test_finetune_of_an_earlier_run_pretrains_no_more():
    assert RunConfig(data="x", method="finetune", from_run="runs/1").options.pretrain_epochs == 0
    assert RunConfig(data="x", method="finetune", pretrain_epochs=3).options.pretrain_epochs == 3


def test_what_is_given_wins_over_the_data_preset_and_that_over_the_method():
    plain, preset = RunConfig(data="x"), RunConfig(data="digits")
    assert preset.batch_size < plain.batch_size and preset.flip == 0.0
    assert preset.classes == plain.classes and preset.labels == plain.labels
    given = RunConfig(data="digits", batch_size=525, flip=0.5, labels=0.25)
    assert (given.batch_size, given.flip, given.labels) == (525, 0.5, Schedule(0.25, 0.25))


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig(data="x").epochs = 3


# Schedules as they are written.


@pytest.mark.parametrize(
    ("written", "schedule"),
    [
        (0.5, Schedule(0.5, 0.5)),
        (8, Schedule(8, 8)),
        ("8:10", Schedule(8, 10)),
        (" 8 : 10 ", Schedule(8, 10)),
        ("8:all", Schedule(8, None)),
        ("all", ALL),
        ("all:all", ALL),
        ("8:all:linear", Schedule(8, None, "linear")),
        ("1e-3:0.5:cosine", Schedule(0.001, 0.5, "cosine")),
        ("0.5:step", Schedule(0.5, 0.5, "step")),
        ("4/class", Schedule(4, 4, per_class=True)),
        ("4:400/class", Schedule(4, 400, per_class=True)),
        ("4:400/class:step", Schedule(4, 400, "step", per_class=True)),
        ("0=5,10=8", Schedule(5, 8, points=((0, 5), (10, 8)))),
        ("10=8,0=5", Schedule(5, 8, points=((0, 5), (10, 8)))),
        ("3=0.2", Schedule(0.2, 0.2, points=((3, 0.2),))),
        ("0=4,9=25/class", Schedule(4, 25, per_class=True, points=((0, 4), (9, 25)))),
        ([[0, 5], [10, 8]], Schedule(5, 8, points=((0, 5), (10, 8)))),
        (((0, 0.1), (10, 0.8)), Schedule(0.1, 0.8, points=((0, 0.1), (10, 0.8)))),
        (Schedule(1, 2, "linear"), Schedule(1, 2, "linear")),
    ],
)
def test_parse_schedule(written, schedule):
    assert parse_schedule(written) == schedule


# Numbers as a person writes them: six digits at most.
NUMBERS = st.integers(0, 9999).map(float) | st.integers(0, 10**6 - 1).map(lambda i: i / 10**6)


@st.composite
def schedules(draw):
    per_class = draw(st.booleans())
    if draw(st.booleans()):
        epochs = draw(st.lists(st.integers(0, 999), min_size=1, max_size=6, unique=True))
        points = tuple((epoch, draw(NUMBERS)) for epoch in sorted(epochs))
        values = [value for _, value in points]
        return Schedule(min(values), max(values), per_class=per_class, points=points)
    low, high = sorted([draw(NUMBERS), draw(NUMBERS)])
    rule = draw(st.sampled_from(["default", "linear", "cosine", "step"]))
    if draw(st.booleans()):
        return Schedule(low, high, rule, per_class)
    return Schedule(draw(st.sampled_from([low, math.inf])), None, rule)


@given(schedules())
@light
def test_a_schedule_can_be_read_back_from_its_text(schedule):
    assert parse_schedule(str(schedule)) == schedule


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(1 / 3, 2 / 3),
        Schedule(0.00123456789, 0.00123456789),
        Schedule(1 / 3, 2 / 3, points=((0, 1 / 3), (1, 2 / 3))),
        Schedule(1234567, 1234567, per_class=True),
    ],
)
def test_no_digit_is_lost_in_the_text_of_a_schedule(schedule):
    again = parse_schedule(str(schedule))
    assert (again.low, again.high, again.points) == (schedule.low, schedule.high, schedule.points)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "five",
        "step",
        "0.1:0.5:0.6",
        "1:2:3:linear",
        "10/class:20/class",
        "5/clas",
        "nan",
        "inf",
        "0=5,=8",
        "0=5,8",
        "a=5",
        "0=all",
        "0.5=3",
        "0=5=6",
    ],
)
def test_text_that_is_no_schedule(text):
    with pytest.raises(ValueError, match=r"is not a (schedule|list of epoch=value).*0=5,10=8"):
        parse_schedule(text)


# TOML and back.


def through_toml(config):
    return RunConfig(**tomllib.loads(config.to_toml()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", ["x", "digits"])
def test_defaults_round_trip(method, data):
    config = RunConfig(data=data, method=method)
    assert through_toml(config) == config
    assert RunConfig(**config.to_dict()) == config


SHARES = st.floats(0, 1, exclude_max=True)
AREAS = st.floats(0, 1, exclude_min=True)
RANGES = st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted)
TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]))

CHOICES = st.fixed_dictionaries(
    {"data": TEXT, "method": st.sampled_from(sorted(METHODS))},
    optional={
        "classes": RANGES.map(lambda r: f"{r[0] + 1}:{r[1] + 1}:linear"),
        "class_order": st.lists(TEXT).map(tuple),
        "labels": RANGES.map(lambda r: f"{r[0] / 1000}:{r[1] / 1000}"),
        "unlabelled_pool": st.sampled_from(["represented", "all"]),
        "epochs": st.integers(1, 10**5),
        "batch_size": st.integers(100, 10**6),
        "labelled_batch_size": st.integers(1, 99),
        "contrastive_rate": RANGES.map(lambda r: f"{r[0] / 1000}:{r[1] / 1000}:cosine"),
        "probe_rate": RANGES.map(lambda r: f"0={r[1] / 1000},7={r[0] / 1000}"),
        "width": st.integers(1, 4096),
        "activation": st.sampled_from(["relu", "leaky_relu"]),
        "flip": SHARES,
        "strong_min_area": AREAS,
        "weak_jitter": SHARES,
        "validation_share": SHARES,
        "seed": st.integers(0, 2**63 - 1),
    },
)


@pytest.mark.parametrize("order", ["b,a", "[a],[b", ("a, b", "[c]", 'd"')])
def test_an_order_of_classes_survives_toml(order):
    config = RunConfig(data="x", class_order=order)
    assert config.class_order == order
    assert through_toml(config) == config


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('data = "x"', encoding="utf-8-sig")
    assert read_toml(path) == {"data": "x"}


def test_a_path_that_is_not_utf8_is_text():
    config = RunConfig(data=Path("caf\udce9"))
    assert config.data == r"caf\xe9"
    assert through_toml(config) == config


@given(CHOICES)
@light
def test_any_configuration_round_trips(given):
    config = RunConfig(**given)
    assert through_toml(config) == config
    assert RunConfig(**config.to_dict()) == config
    for name in given.keys() - {"classes", "labels", "contrastive_rate", "probe_rate"}:
        assert getattr(config, name, config.to_dict().get(name)) == given[name]


def test_a_path_beyond_the_basic_plane_round_trips():
    config = RunConfig(data="photos/🦊")
    assert through_toml(config) == config


def test_toml_says_what_every_field_is():
    config = RunConfig(data="x", method="sandbox", labels="4/class")
    lines = config.to_toml().splitlines()
    assert len(lines) == len(config.to_dict())
    for line, (name, value) in zip(lines, config.to_dict().items(), strict=True):
        description = fields_of("sandbox")[name].help
        assert description
        assert line == f"{name} = {json.dumps(value)}  # {description}"


def test_fields_without_a_value_are_left_out():
    plain = RunConfig(data="x").to_dict()
    assert not {"rule", "from_run", "labelled_batch_size"} & plain.keys()
    assert RunConfig(data="x", labelled_batch_size=64).to_dict()["labelled_batch_size"] == 64
    assert (plain["classes"], plain["labels"]) == ("8:all", "0.01:0.9")


def test_read_toml(tmp_path):
    path = tmp_path / "config.toml"
    with pytest.raises(UserError, match=r"config\.toml: no such"):
        read_toml(path)
    path.write_text("epochs = ")
    with pytest.raises(UserError, match=r"config\.toml: not readable as TOML") as caught:
        read_toml(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"config\.toml: not readable as TOML"):
        read_toml(path)
    path.write_text('data = "digits"\nlabels = "4/class"\nclasses = [[0, 5], [3, 10]]\n')
    config = RunConfig(**read_toml(path))
    assert config == RunConfig(data="digits", labels="4/class", classes="0=5,3=10")


# Bad values: one line that names the key and what to do.


@pytest.mark.parametrize(
    ("key", "right"),
    [("lables", "labels"), ("epoch", "epochs"), ("batchsize", "batch_size"), ("Width", "width")],
)
def test_unknown_key_with_the_nearest(key, right):
    assert complaint(**{key: 1}) == f"unknown key {key!r}: did you mean {right!r}?"


def test_unknown_key_like_no_other():
    message = complaint(zzzz=1)
    assert message.startswith("unknown key 'zzzz': choose one of")
    assert all(name in message for name in fields_of("gradual"))


def test_data_is_missing():
    with pytest.raises(UserError, match=r"data is missing: .*folder"):
        RunConfig(method="gradual")


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("classes", "9:5", "9:5 is reversed: write the lower end first"),
        ("labels", "0.9:0.1", "0.9:0.1 is reversed: write the lower end first"),
        ("labels", "25:4/class", "25:4/class is reversed"),
        ("probe_rate", "0.03:0.01", "0.03:0.01 is reversed"),
        ("contrastive_rate", "0.03:0.01:linear", "0.03:0.01:linear is reversed"),
        ("classes", "all:10", "reversed"),
        ("classes", 0, "0 is out of bounds: give numbers from 1 up"),
        ("classes", "0:10", "0 is out of bounds"),
        ("classes", "-3:10", "-3 is out of bounds"),
        ("labels", 1.5, "1.5 is out of bounds: give numbers between 0 and 1"),
        ("labels", "0.5:2", "2 is out of bounds: give numbers between 0 and 1"),
        ("labels", -0.1, "-0.1 is out of bounds"),
        ("labels", "-1/class", "-1 is out of bounds: give numbers from 0 up"),
        ("labels", "0=0.5,3=1.5", "1.5 is out of bounds"),
        ("probe_rate", -1, "-1 is out of bounds: give numbers from 0 up"),
        ("classes", 2.5, "whole numbers"),
        ("classes", "2:4.5", "whole numbers"),
        ("classes", "0=2,3=4.5", "whole numbers"),
        ("classes", "4/class", "whole numbers"),
        ("labels", "all", "write 1 to know every label"),
        ("probe_rate", "all", "write 0.001 or 0.01:0.03"),
        ("probe_rate", "4/class", "write 0.001 or 0.01:0.03"),
        ("classes", "0=8,5=5", "0=8,5=5 falls"),
        ("labels", "0=0.8,5=0.5", "0=0.8,5=0.5 falls"),
        ("labels", "0=25,5=4/class", "0=25,5=4/class falls"),
        ("labels", math.nan, "nan is out of bounds: give numbers between 0 and 1"),
        ("labels", "nan", "'nan' is not a schedule"),
        ("labels", "0=nan", "nan is out of bounds"),
        ("classes", math.nan, "nan is out of bounds"),
        ("classes", "inf", "'inf' is not a schedule"),
        ("probe_rate", math.nan, "nan is out of bounds"),
        ("temperature", math.nan, "finite"),
        ("temperature", math.inf, "finite"),
        ("flip", math.inf, "finite"),
        ("classes", True, "is not a schedule: write"),
        ("labels", "many", "'many' is not a schedule: write 0.5"),
        ("labels", {"low": 1}, "is not a schedule: write"),
        ("epochs", "many", "write a whole number"),
        ("epochs", 2.5, "write a whole number"),
        ("epochs", [20], "write a whole number"),
        ("data", 5, "write text"),
        ("flip", "often", "write a number"),
        ("activation", "gelu", "'relu' or 'leaky_relu'"),
        ("unlabelled_pool", "some", "'represented' or 'all'"),
        ("contrast", "clip", "info_nce, nt_xent"),
        ("epochs", 0, "choose 1 or more"),
        ("epochs", -1, "choose 1 or more"),
        ("batch_size", 0, "choose 1 or more"),
        ("labelled_batch_size", 0, "choose 1 or more"),
        ("width", 0, "choose 1 or more"),
        ("temperature", 0, "choose more than 0"),
        ("temperature", -0.1, "choose more than 0"),
        ("flip", 1.1, "choose 1 or less"),
        ("flip", -0.1, "choose 0 or more"),
        ("strong_min_area", 0, "choose more than 0"),
        ("strong_min_area", 1.1, "choose 1 or less"),
        ("weak_min_area", -1, "choose more than 0"),
        ("strong_brightness", 1, "choose less than 1"),
        ("strong_jitter", -0.1, "choose 0 or more"),
        ("weak_brightness", 2, "choose less than 1"),
        ("weak_jitter", 1, "choose less than 1"),
        ("image_size", 4, "choose 8 or more"),
        ("image_size", 5000, "choose 1024 or less"),
        ("validation_share", 1, "choose less than 1"),
        ("test_share", -0.1, "choose 0 or more"),
        ("seed", -1, "choose 0 or more"),
    ],
)
def test_bad_value_names_the_key_and_the_remedy(key, value, remedy):
    message = complaint(**{key: value})
    assert message.startswith(f"{key}: ")
    assert remedy in message


@pytest.mark.parametrize("key", ["classes", "labels", "probe_rate", "contrastive_rate"])
@pytest.mark.parametrize("value", ["many", "0.9:0.8", -7])
def test_a_bad_schedule_is_shown_as_it_was_given(key, value):
    assert str(value) in complaint(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", math.inf),
        ("labels", "0=0.1,5=inf"),
        ("classes", math.inf),
        ("classes", "0=5,3=inf"),
        ("probe_rate", math.inf),
        ("probe_rate", "0=inf"),
        ("contrastive_rate", "0=0.1,5=-inf"),
    ],
)
def test_infinite_schedules_are_refused(key, value):
    assert complaint(**{key: value}).startswith(f"{key}: ")


def test_a_list_of_plain_numbers_is_no_schedule():
    assert complaint(classes=[5, 8]).startswith("classes: ")


def test_a_range_that_breaks_off_is_no_schedule():
    assert complaint(labels="0.5:").startswith("labels: ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rule": "soft_lookup"}, ["rule", "'soft_lookup'", "'sandbox'", "'gradual'"]),
        ({"method": "baseline", "temperature": 1}, ["temperature 1", "'gradual'", "'baseline'"]),
        ({"method": "sandbox", "direction": "push"}, ["direction", "'attract' or 'repel'"]),
        ({"pretrain_epochs": 4}, ["pretrain_epochs", "'finetune'", "'gradual'"]),
        (
            {"method": "finetune", "epochs": 6, "pretrain_epochs": 6},
            ["pretrain_epochs", "6 of 6 epochs", "raise epochs"],
        ),
        (
            {"batch_size": 32, "labelled_batch_size": 32},
            ["labelled_batch_size 32", "batch_size 32"],
        ),
        ({"labelled_batch_size": 600}, ["labelled_batch_size 600", "batch_size 525"]),
    ],
)
def test_choices_that_do_not_go_together(given, words):
    message = complaint(**given)
    assert all(word in message for word in words)


def test_choices_that_just_go_together():
    assert RunConfig(data="x", batch_size=32, labelled_batch_size=31).labelled_batch_size == 31
    late = RunConfig(data="x", method="finetune", epochs=6, pretrain_epochs=5)
    assert late.options.pretrain_epochs == 5
    ruled = RunConfig(data="x", method="sandbox", rule="soft_lookup")
    assert ruled.options.rule == "soft_lookup"
    assert RunConfig(data="x", labels=0, probe_rate=0, classes=1).labels == Schedule(0, 0)
    assert RunConfig(data="x", probe_rate="0=0.1,3=0.01").probe_rate.points == ((0, 0.1), (3, 0.01))


def test_the_first_of_several_complaints_is_one_line():
    complaint(epochs=0, batch_size=0, flip="often")


# What differs between two runs.


def test_differing_names_the_fields_sorted():
    first = RunConfig(data="x").to_dict()
    assert differing(first, first) == []
    assert differing(first, RunConfig(data="x", seed=1).to_dict()) == ["seed"]
    other = RunConfig(data="y", labelled_batch_size=4, labels="4/class").to_dict()
    assert differing(first, other) == ["data", "labelled_batch_size", "labels"]
    assert differing(other, first) == ["data", "labelled_batch_size", "labels"]
    assert differing({}, {"a": 1}) == ["a"]
