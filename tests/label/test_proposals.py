"""Classes that nobody has named, proposed on the page, named, rejected, and undone."""

import pytest
from tests.chromium import missing_browser
from tests.label.serving import serving, write_images

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

WAIT = 120_000


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Images of four colours, of which a few red and blue ones have a label."""
    place = tmp_path_factory.mktemp("proposals")
    with serving(write_images(place / "photos", 48, kinds=4), place / "cache") as served:
        for at in range(6):
            served.act("label", [4 * at], name="red")
            served.act("label", [4 * at + 1], name="blue")
        yield served


def counts(served):
    return {one["name"]: one["count"] for one in served.summary()["classes"]}


def look(page, how_many):
    page.select_option("label:has-text('How many?') select", how_many)
    page.click("text=Look for classes nobody has named")


def test_proposals_are_named_rejected_and_taken_back(served, opened):
    page = opened(served)
    page.goto(page.url.split("#")[0] + "#classes")
    page.wait_for_selector("h1:has-text('Classes')")
    look(page, "2")
    page.wait_for_function(
        "() => document.querySelectorAll('.proposal').length === 2", timeout=WAIT
    )
    assert page.input_value("label:has-text('How many?') select") == "2", "it stays as chosen"
    sizes = [one["count"] for one in served.summary()["proposals"]]
    assert sizes == [12, 12], "the green and the yellow ones"
    page.locator(".proposal").first.get_by_role("button", name="Name it").click()
    page.fill("#name", "green")
    page.press("#name", "Enter")
    page.wait_for_function("() => document.querySelectorAll('.proposal').length === 1")
    assert counts(served) == {"red": 6, "blue": 6, "green": 12}
    page.get_by_role("button", name="It is no class").click()
    page.wait_for_function("() => document.querySelectorAll('.proposal').length === 0")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => document.querySelectorAll('.proposal').length === 1")
    page.keyboard.press("Control+z")
    page.wait_for_function("() => document.querySelectorAll('.proposal').length === 2")
    assert counts(served) == {"red": 6, "blue": 6}


@pytest.mark.parametrize("body", [{"new": 0}, {"new": 101}, {"new": "two"}, {"news": 2}])
def test_a_wrong_number_is_one_line(served, body):
    status, said, _ = served.ask("POST", "/api/discover", body)
    assert status == 400
    assert b"load the page again" in said


def test_none_is_said_with_what_to_do(tmp_path, opened):
    with serving(write_images(tmp_path / "photos", 40), tmp_path / "cache") as served:
        for at in range(20):
            served.act("label", [at], name=["red", "blue"][at % 2])
        page = opened(served)
        page.goto(page.url.split("#")[0] + "#classes")
        look(page, "")
        page.wait_for_selector("text=No sign of new classes", timeout=WAIT)
        assert served.summary()["proposals"] == []
