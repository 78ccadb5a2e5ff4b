"""Names that are typed on the page: what is no name is said at once, and nothing is lost."""

import pytest
from tests.chromium import missing_browser
from tests.label.serving import serving, write_images

pytest.importorskip("playwright")
pytestmark = pytest.mark.skipif(missing_browser() is not None, reason=str(missing_browser()))

WRONG = [
    ("", "Type a name"),
    ("   ", "Type a name"),
    ("a" * 201, "at most 200 characters, and this one has 201"),
    ("to\u202eber", "visible characters"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    place = tmp_path_factory.mktemp("names")
    with serving(write_images(place / "photos", 12), place / "cache") as served:
        served.act("class", name="cat")
        served.act("class", name="dog")
        yield served


def names(served):
    return [one["name"] for one in served.summary()["classes"]]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_no_name_on_ask_keeps_the_question(served, opened, text, said):
    page = opened(served)
    page.wait_for_selector(".chip")
    shown = page.inner_text("figcaption")
    page.fill("#new-class", text)
    page.press("#new-class", "Enter")
    page.wait_for_function(
        "said => document.querySelector('#said').innerText.includes(said)", arg=said
    )
    page.wait_for_timeout(200)
    assert page.inner_text("figcaption") == shown
    assert page.input_value("#new-class") == text, "what was typed can be mended"
    assert served.summary()["labelled"] == 0


def typed(page, text):
    page.fill("#name", text)
    page.press("#name", "Enter")


@pytest.mark.parametrize(
    ("button", "wrong"),
    [
        ("button[aria-label='Rename: cat']", [*WRONG, ("dog", "There is a class dog already")]),
        ("button[aria-label='Merge: cat']", [*WRONG, ("cow", "There is no class cow")]),
        ("text=New class …", [*WRONG, ("cat", "There is a class cat already")]),
    ],
)
def test_a_dialog_stays_open_and_says_why(served, opened, button, wrong):
    page = opened(served)
    page.evaluate("location.hash = 'classes'")
    page.click(button)
    for text, said in wrong:
        typed(page, text)
        page.wait_for_selector(f"dialog[open] [role=alert]:has-text('{said}')")
        assert page.input_value("#name") == text
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    assert names(served) == ["cat", "dog"]


def test_a_name_that_is_mended_is_taken(served, opened):
    page = opened(served)
    page.evaluate("location.hash = 'classes'")
    page.click("button[aria-label='Rename: cat']")
    typed(page, "dog")
    page.wait_for_selector("dialog[open] [role=alert]:has-text('already')")
    typed(page, "wild cat")
    page.wait_for_selector("button[aria-label='Rename: wild cat']")
    assert not page.locator("dialog[open]").count()
    served.act("undo")
    assert names(served) == ["cat", "dog"]
