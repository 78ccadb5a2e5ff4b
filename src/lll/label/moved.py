"""Labels of images whose files have been moved or renamed since."""

from __future__ import annotations

from lll.label.gallery import Gallery
from lll.labels.store import Event, Store, content_of, found_again


def follow(gallery: Gallery, store: Store) -> int:
    """Label the new places of labelled files that are gone from the old ones; how many.

    A file is known again by its content; only files of the sizes that are missing are read.
    """
    state = store.state()
    here = {label.hash for p, label in state.labels.items() if p in gallery.at}
    gone = {p: label.hash for p, label in state.labels.items() if p not in gallery.at}
    lost = {p: content for p, content in gone.items() if content not in here}
    if not lost:
        return 0
    places = {photo.path: photo.place for photo in gallery.photos}
    sizes = {p: place.stat().st_size for p, place in places.items() if p not in state.labels}
    found = found_again(lost, sizes, lambda path: content_of(places[path]))
    events = [
        Event("label", (new,), class_id=state.class_of(old), hashes=(lost[old],), actor="moved")
        for old, new in found.items()
    ]
    store.append(events)
    return len(events)
