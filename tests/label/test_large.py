"""50,000 images: what a person feels of them. Needs free cores; ``-s`` prints the times.

python -m pytest -s -m slow tests/label/test_large.py
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from tests.chromium import missing_browser
from tests.label.serving import link_images, serving

from lll.label.encoding import ENCODER, folder_of
from lll.label.gallery import open_gallery
from lll.labels.store import open_store
from lll.learn.feature_store import FeatureStore
from lll.nets.frozen import frozen_encoder

pytest.importorskip("playwright")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser())),
]

N, CLASSES = 50_000, 10
START_S, SCRIPT_MS, UNDO_S, REFIT_S = 5.0, 100.0, 0.5, 2.0
NODES = 200
ALONE = """
import socket
def refused(self, address, *rest, own=socket.socket.connect):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"no network: {address}")
    return own(self, address, *rest)
socket.socket.connect = refused
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of N images, and a cache that holds features of them in overlapping groups."""
    place = tmp_path_factory.mktemp("large")
    folder = link_images(place / "photos", N)
    (place / "alone").mkdir()
    (place / "alone" / "sitecustomize.py").write_text(ALONE)
    rng = np.random.default_rng(0)
    encoder = frozen_encoder(ENCODER)
    centres = rng.gamma(0.5, 1, (CLASSES, encoder.width))
    store = FeatureStore(folder_of(encoder, place / "cache"), encoder.width)
    stamps = [photo.stamp for photo in open_gallery(folder).photos]
    for start in range(0, N, 5000):
        own = centres[np.arange(start, start + 5000) % CLASSES]
        noise = rng.gamma(0.5, 1.5, (5000, encoder.width))
        store.add(stamps[start : start + 5000], (own + noise).astype(np.float16))
    return place


@pytest.fixture(scope="module")
def served(place):
    with serving(
        place / "photos", place / "cache", PYTHONPATH=f"{place / 'alone'}:{_own_path()}"
    ) as served:
        yield served


def _own_path():
    from tests.processes import ENVIRONMENT

    return ENVIRONMENT.get("PYTHONPATH", "")


def report(what, value, most, unit):
    print(f"{what}: {value:.3g} {unit} (at most {most:g})")


def test_it_starts_within_five_seconds_without_a_network(place, opened):
    folder = link_images(place / "others", N)
    path = f"{place / 'alone'}:{_own_path()}"
    begun = time.perf_counter()
    with serving(folder, place / "empty", PYTHONPATH=path) as served:
        page = opened(served)
        page.wait_for_function("() => document.querySelector('figure img')?.naturalWidth > 0")
        seconds = time.perf_counter() - begun
        assert served.summary()["fault"] == ""
    report("start until the first image is there", seconds, START_S, "s")
    assert seconds < START_S


LONG = """() => { window.long = []; new PerformanceObserver((list) => {
    for (const task of list.getEntries()) window.long.push([task.startTime, task.duration]);
}).observe({ type: 'longtask' }); }"""
LONGEST = (
    "from => Math.max(0, ...window.long.filter(([at]) => at >= from).map(([, lasts]) => lasts))"
)


def test_no_interaction_holds_the_page_up_and_few_images_are_in_it(served, opened):
    served.act("label", range(2000), name="a")
    served.act("label", range(2000, 2100), name="b")
    wait_for_model(served)
    page = opened(served)
    page.set_viewport_size({"width": 2560, "height": 1400})
    page.evaluate(f"({LONG})()")
    slow, many = {}, 0

    def do(what, *keys):
        nonlocal many
        begun = page.evaluate("performance.now()")  # what loading took is no interaction
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_timeout(400)
        slow[what] = page.evaluate(LONGEST, begun)
        many = max(many, page.locator("img").count())

    do("answer", "1")
    do("skip", "Space")
    do("to the grid", "g")
    for key in ("PageDown", "End", "Home", "Shift+PageDown", "x", "Control+a", "Escape"):
        do(f"grid, {key}", key)
    do("back", "Control+z")
    do("to the map", "m")
    do("a box", "l")
    do("the box grows", *["Shift+ArrowRight"] * 5)
    do("the box is taken", "Enter")
    do("to the classes", "c")
    do("to the progress", "p")
    do("to the question", "a")
    for what, milliseconds in slow.items():
        report(what, milliseconds, SCRIPT_MS, "ms")
    report("images in the page", many, NODES, "")
    assert many <= NODES
    assert max(slow.values()) < SCRIPT_MS


def test_a_lasso_of_two_thousand_is_undone_in_half_a_second(place, served):
    with open_store(place / "photos", write=False) as store:
        before = store.state()
    served.act("label", range(10_000, 12_000), name="c")
    begun = time.perf_counter()
    served.act("undo")
    seconds = time.perf_counter() - begun
    with open_store(place / "photos", write=False) as store:
        after = store.state()
    report("undo of 2,000 labels", seconds, UNDO_S, "s")
    assert (after.labels, after.classes) == (before.labels, before.classes)
    assert seconds < UNDO_S


def wait_for_model(served):
    """Until it has learned from every label; which learner that is, labels held out decide."""
    while (now := served.summary())["model"] is None or now["model"]["labels"] < now["labelled"]:
        time.sleep(0.5)


def spent_by(pid):
    """Processor time of a process and its threads so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_model_follows_an_answer_within_two_seconds(served):
    for image in range(20_000, 20_000 + 4 * CLASSES):
        served.act("label", [image], name=f"group {image % CLASSES}")
    wait_for_model(served)
    while (now := served.summary())["curve"] is None or not now["map_note"].startswith("UMAP"):
        time.sleep(1)  # until the learners are compared, and the map has left the cores
    seconds, processor = [], []
    for image in range(30_000, 30_010):
        time.sleep(0.7)  # a person looks
        before = served.summary()["model"]["name"]
        begun, spent = time.perf_counter(), spent_by(served.child.pid)
        served.act("label", [image], name=f"group {image % CLASSES}")
        wanted = served.summary()["labelled"]
        while served.summary()["model"]["labels"] < wanted:
            time.sleep(0.02)
        seconds.append(time.perf_counter() - begun)
        processor.append(spent_by(served.child.pid) - spent)
        assert served.summary()["model"]["name"] != before
    report("the model after an answer, median", statistics.median(seconds), REFIT_S, "s")
    report("the model after an answer, longest", max(seconds), REFIT_S, "s")
    report("its processor time, median", statistics.median(processor), REFIT_S, "s")
    assert statistics.median(seconds) < REFIT_S
