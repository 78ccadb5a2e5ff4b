"""Effects of a factorial sweep against hand-made numbers, and against least squares."""

import json

import numpy as np
import pytest
from benchmarks.accuracy import effects as module
from benchmarks.accuracy.effects import cells_of, effects, name_of, subsets

from lll.bench.compare import paired_difference
from lll.errors import UserError


def rows(accuracies):
    return [{"schedule": name, "by_seed": by_seed} for name, by_seed in accuracies.items()]


BY_HAND = {
    "none": {"0": 0.50, "1": 0.60},
    "labels": {"0": 0.52, "1": 0.64},  # +2, +4 where the rate is constant
    "rate": {"0": 0.60, "1": 0.70, "2": 0.99},  # a seed that the others have not does not count
    "labels+rate": {"0": 0.66, "1": 0.80},  # +6, +10 where it falls
}


def test_by_hand():
    found = effects(cells_of(rows(BY_HAND)))

    def is_over_seeds(name, first, second):
        expected = paired_difference([first, second])
        assert found[name]["mean"] == pytest.approx(expected["mean"])
        assert found[name]["interval"] == pytest.approx(expected["interval"])
        assert found[name]["n"] == 2

    # The mean of both simple effects of labels, by seed: (2 + 6) / 2 and (4 + 10) / 2.
    is_over_seeds("labels", 0.04, 0.07)
    # Those of the rate: (10 + 14) / 2, (10 + 16) / 2.
    is_over_seeds("rate", 0.12, 0.13)
    # Half of what labels do more where the rate falls: (6 - 2) / 2, (10 - 4) / 2.
    is_over_seeds("labels+rate", 0.02, 0.03)


def test_they_are_twice_the_coefficients_of_a_regression_on_signs():
    rng = np.random.default_rng(3)
    cells = {frozenset(some): dict(enumerate(rng.random(4))) for some in subsets("abc")}
    design = [[1 if f in cell else -1 for f in "abc"] for cell in cells]
    columns = [
        np.prod(np.array(design)[:, ["abc".index(f) for f in some]], axis=1)
        for some in subsets("abc")
    ]
    for seed in range(4):
        answers = [cell[seed] for cell in cells.values()]
        fitted = np.linalg.lstsq(np.stack(columns, axis=1), answers, rcond=None)[0]
        alone = effects({cell: {seed: of[seed]} for cell, of in cells.items()})
        assert [each["mean"] for each in alone.values()] == pytest.approx(2 * fitted[1:])
        assert list(alone) == [name_of(frozenset(some)) for some in subsets("abc") if some]


def test_a_missing_cell_is_named():
    without = {name: of for name, of in BY_HAND.items() if name != "rate"}
    with pytest.raises(UserError, match=r"no cell 'rate': the sweep needs all 4"):
        effects(cells_of(rows(without)))


def test_the_command_reads_what_compare_wrote(tmp_path, capsys):
    content = [row | {"method": "gradual", "labels": "default"} for row in rows(BY_HAND)]
    (tmp_path / "comparison.json").write_text(json.dumps({"rows": content}))
    module.main([str(tmp_path)])
    assert "| labels+rate | +2.5 | [-3.9, +8.9] | 2 |" in capsys.readouterr().out
