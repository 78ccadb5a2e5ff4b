"""Results of long measurements say by which command they came."""

import json
from pathlib import Path

import pytest
from benchmarks.accuracy import worlds

RESULTS = Path(worlds.__file__).parent / "results"
KEPT = sorted(RESULTS.glob("unknown-*")) + sorted(RESULTS.glob("discover-*"))
KEPT += sorted(RESULTS.glob("number-*")) + sorted(RESULTS.glob("queries-*"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_kept_result_names_its_command_and_no_path(path):
    kept = json.loads(path.read_text())
    assert kept["command"].startswith("python -m benchmarks.accuracy.")
    assert "/" not in kept["command"] + kept["given"]["data"]
    assert len(kept["found"]) > 0


def test_saving_leaves_out_where_the_data_lie(tmp_path, monkeypatch):
    monkeypatch.setattr(worlds, "HERE", tmp_path)
    monkeypatch.setattr("sys.argv", ["/some/where/unknown.py", "/my/own/data", "--draws", "2"])
    path = worlds.save("x", {"data": "/my/own/data", "draws": 2}, [{"value": 1.0}])
    kept = json.loads(path.read_text())
    assert kept["command"] == "python -m benchmarks.accuracy.unknown data --draws 2"
    assert kept["given"] == {"data": "data", "draws": 2}
    assert kept["found"] == [{"value": 1.0}]
