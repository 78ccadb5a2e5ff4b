"""Photos that come, go, move and are overwritten while the page is open."""

import os

import numpy as np
import pytest
from PIL import Image
from tests.label.inside import inside
from tests.label.serving import write_images

from lll.label.guess import Guess
from lll.label.rescan import rescan
from lll.label.session import GONE
from lll.label.shown import rows, summary


@pytest.fixture
def page(tmp_path):
    with inside(write_images(tmp_path / "photos", 6)) as page:
        n = len(page.session.gallery)
        shares = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (n, 1))
        page.act("label", [0], name="red")
        page.act("label", [1], name="blue")
        page.session.guess = Guess("m", "logistic", 2, (0, 1), shares, np.ones(n, dtype=bool))
        page.session.places = np.full((n, 2), 0.5, np.float32)
        yield page


def photo(path, shade):
    Image.new("RGB", (30, 30), (shade, 0, 99)).save(path)


def test_nothing_new_changes_nothing(page):
    before = (page.session.gallery, page.session.version, page.session.store.history())
    rescan(page.session)
    assert before[0] is page.session.gallery
    assert before[2] == page.session.store.history()
    assert page.session.news == ""


def test_new_photos_get_the_next_numbers(page):
    folder = page.session.gallery.folder
    names = [one.path for one in page.session.gallery.photos]
    photo(folder / "00000a.png", 7)
    rescan(page.session)
    assert [one.path for one in page.session.gallery.photos] == [*names, "00000a.png"]
    assert page.session.news == "1 new photo"
    assert len(rows(page.session)) == 7 * 6
    assert page.session.guess.ranked(6) == []
    assert np.isnan(page.session.places[6]).all()
    assert page.session.scanned.is_set()
    page.act("label", [6], name="red")
    assert summary(page.session)["labelled"] == 3
    assert page.ask("GET", "/image/6/thumb")[0] == 200


def test_a_photo_that_goes_is_not_asked_about_and_comes_back(page):
    folder = page.session.gallery.folder
    (folder / "00001.png").rename(folder.parent / "away.png")
    (folder / "00002.png").unlink()
    rescan(page.session)
    assert page.session.news == "2 photos gone"
    assert page.session.broken == {1: GONE, 2: GONE}
    assert summary(page.session)["images"] == 4
    assert summary(page.session)["labelled"] == 1
    assert page.session.ask(set()).image == 3
    (folder.parent / "away.png").rename(folder / "00001.png")
    rescan(page.session)
    assert page.session.broken == {2: GONE}
    assert summary(page.session)["labelled"] == 2, "the label was kept"


def test_a_photo_that_moves_takes_its_label_along(page):
    folder = page.session.gallery.folder
    photo(folder / "00000.png", 200)  # unlike all others
    rescan(page.session)
    page.act("label", [0], name="red")
    (folder / "00000.png").rename(folder / "z.png")
    rescan(page.session)
    assert page.session.targets().tolist() == [-1, 1, -1, -1, -1, -1, 0]
    assert "1 label moved with the photo" in page.session.news


@pytest.mark.parametrize("same_size", [True, False])
def test_a_photo_overwritten_under_its_name_loses_label_features_and_thumbnail(page, same_size):
    place = page.session.gallery.photos[0].place
    old, stamp = place.read_bytes(), place.stat()
    if same_size:
        place.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
        os.utime(place, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as some programs do
    else:
        photo(place, 99)
    rescan(page.session)
    assert page.session.targets().tolist()[:2] == [-1, 1]
    assert page.session.guess.ranked(0) == []
    assert summary(page.session)["editions"] == {0: 1}
    assert "1 file written anew" in page.session.news
    assert "1 label taken away" in page.session.news
    last = page.session.store.history()[-1]
    assert (last.op, last.actor) == ("unlabel", "overwritten")
    page.act("undo")  # of what the person did last, not of what was done to the file
    assert page.session.targets().tolist()[:2] == [-1, -1]


def test_a_file_written_anew_with_the_same_content_keeps_its_label(page):
    place = page.session.gallery.photos[0].place
    place.write_bytes(place.read_bytes())
    rescan(page.session)
    assert page.session.targets()[0] == 0
    assert page.session.news == "1 file written anew"


def test_two_photos_that_change_names_change_labels(page):
    folder = page.session.gallery.folder
    (folder / "00000.png").rename(folder / "x")
    (folder / "00001.png").rename(folder / "00000.png")
    (folder / "x").rename(folder / "00001.png")
    rescan(page.session)
    assert page.session.targets().tolist()[:2] == [1, 0]
