"""Results of the gradual benchmark beside each other."""

import json

import pytest
from benchmarks.accuracy import gradual_table
from benchmarks.accuracy.gradual import summary
from benchmarks.accuracy.gradual_table import difference, picture, table

from lll import UserError
from lll.bench.compare import paired_difference


def result(method, shares, scored="test"):
    """Of two orders with two draws; ``shares`` by order and draw, the same at both stages."""
    rows = [
        {
            "order": order, "draw": draw, "stage": stage, "all": share, "known": share + 0.1,
            "new": None if stage else 0.2, "forgetting": 0.05 if stage else None,
            "ece": 0.1, "auroc": None,
        }
        for (order, draw), share in shares.items()
        for stage in (0, 1)
    ]  # fmt: skip
    about = {"data": "cifar10", "method": method, "scored": scored}
    return about | {"summary": summary(rows), "stages": rows}


REFERENCE = result("logistic", {(0, 0): 0.30, (0, 1): 0.32, (1, 0): 0.40, (1, 1): 0.40})
OTHER = result("auto", {(0, 0): 0.35, (0, 1): 0.35, (1, 0): 0.42, (1, 1): 0.44})


def test_differences_are_paired_and_draws_of_an_order_are_one():
    expected = paired_difference([(0.05 + 0.03) / 2, (0.02 + 0.04) / 2])
    found = difference(OTHER, REFERENCE)
    assert found["mean"] == pytest.approx(expected["mean"])
    assert found["interval"] == pytest.approx(expected["interval"])


def test_only_orders_and_draws_of_both_are_compared():
    less = result("short", {(0, 0): 0.31, (1, 0): 0.41})
    assert difference(less, REFERENCE)["mean"] == pytest.approx(0.01)


def test_the_table_names_the_reference():
    head, _, first, second = table([REFERENCE, OTHER]).splitlines()
    assert "`all` against logistic" in head
    assert first.endswith("|  | 2 |")
    assert "| +3.5 [" in second
    assert "| 39.0 ± " in second  # the primary number


def test_the_picture_has_a_line_of_every_result_in_every_part():
    axes = picture([REFERENCE, OTHER]).axes
    assert [one.get_title() for one in axes] == ["all images", "known images", "new images"]
    for one, stages in zip(axes, (2, 2, 1), strict=True):
        lines = [bars.lines[0] for bars in one.containers]
        assert [len(line.get_xdata()) for line in lines] == [stages, stages]
    assert axes[0].containers[1].lines[0].get_ydata() == pytest.approx([39.0, 39.0])


def test_results_of_unlike_images_are_refused(tmp_path):
    paths = []
    for number, each in enumerate([REFERENCE, result("auto", {(0, 0): 0.5}, "validation")]):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(each))
    with pytest.raises(UserError, match="compare like with like"):
        gradual_table.main([str(path) for path in paths])
