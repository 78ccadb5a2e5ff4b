"""A query strategy is one file and one table line: this file is one, the line in a fixture."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.accuracy import queries, worlds
from benchmarks.accuracy.features import Material
from tests.labels.select import test_select as invariants

from lll.labels.select import STRATEGIES, Candidates
from lll.labels.select.candidates import pool_of


def farthest(candidates: Candidates, count: int, generator: np.random.Generator):
    """One after another the open image that is farthest from those that have a label."""
    at = pool_of(candidates, generator)
    points, known = candidates.features[at], candidates.targets[at] >= 0
    picked = []
    while len(picked) < count and not known.all():
        apart = np.full(len(at), np.inf)
        for one in points[known]:
            apart = np.minimum(apart, np.linalg.norm(points - one, axis=1))
        best = int(np.where(known, -1, apart).argmax())
        known[best] = True
        picked.append(at[best])
    return np.array(picked, dtype=np.intp)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(STRATEGIES, "farthest", farthest)


@pytest.mark.parametrize("count", [1, 1000])
def test_it_keeps_what_every_strategy_must_keep(count):
    invariants.test_picks_are_open_distinct_and_as_many_as_asked("farthest", count)
    invariants.test_degenerate_features("farthest", np.eye(5, 3))
    invariants.test_without_labels_each_group_is_asked_about_once("farthest")


def test_its_gain_is_measured_by_its_name(capsys, monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = torch.from_numpy(np.eye(3, 16)[labels] * 4 + rng.normal(size=(120, 16))).half()
    facts = SimpleNamespace(name="blobs")
    front = SimpleNamespace(last=features.shape[1])
    prepared = SimpleNamespace(seen=lambda at: features[at][None], facts=facts, front=front)
    found = Material(prepared, features, labels, features, labels)
    monkeypatch.setattr(queries, "material", lambda data, encoder, test: found)
    monkeypatch.setattr(worlds, "HERE", tmp_path)
    queries.main(["blobs", "--draws", "2", "--first", "3", "--strategies", "random,farthest"])
    kept = json.loads((tmp_path / "results" / "queries-blobs-validation.json").read_text())["found"]
    assert {each["draw"] for each in kept} == {3, 4}
    said = capsys.readouterr().out.splitlines()
    for by, lines in (("class means", said[:6]), ("model", said[6:])):
        last = {
            name: np.array(
                [e[by] for e in kept if (e["strategy"], e["labels"]) == (name, queries.SHOWN[-1])]
            )
            for name in ("random", "farthest")
        }
        assert lines[3].startswith(f"| farthest, {by} |")
        assert f"{100 * last['farthest'].mean():.1f} ± " in lines[3].split(" | ")[-1]
        gains = 100 * (last["farthest"] - last["random"])
        assert f"{gains.mean():+.1f} [" in lines[4].split(" | ")[-1]
