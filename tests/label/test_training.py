"""`lll train` on a folder while it is being labelled."""

import io
import json
import time

import pyarrow.parquet
import pytest
from tests.label.serving import serving
from tests.photos import KINDS, draw_photo

from lll import load_run


@pytest.mark.slow
def test_a_run_beside_the_page(tmp_path):
    folder, kinds = tmp_path / "photos", [*KINDS]
    folder.mkdir()
    for i in range(24):
        draw_photo(kinds[i % 4], i, (160, 120)).save(folder / f"{i:02d}.jpg")
    with serving(folder, tmp_path / "cache") as served:
        for i in range(16):
            served.act("label", [i], name=kinds[i % 4])
        table = pyarrow.parquet.read_table(io.BytesIO(served.ask("GET", "/export/parquet")[1]))
        assert table.column("label").to_pylist() == [kinds[i % 4] for i in range(16)]
        assert json.loads(served.ask("POST", "/api/train", {})[1]) == {"begun": True}
        assert json.loads(served.ask("POST", "/api/train", {})[1]) == {"begun": False}
        served.act("label", [16], name="ball")  # meanwhile
        while not served.summary()["training"].startswith("next: "):
            time.sleep(0.5)
        assert served.summary()["labelled"] == 17
    (run,) = (folder / ".lll" / "runs").iterdir()
    found = load_run(run)
    assert found.finished
    assert found.data.class_names == tuple(sorted(KINDS))
