"""Labels of images whose files have been moved, renamed or overwritten since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lll.label.gallery import Gallery
from lll.labels.store import Event, Label, State, Store, content_of, found_again

CLOCKS_S = 2.0  # by how much the clock of a file system may be behind ours


@dataclass(frozen=True)
class Followed:
    """How many labels went to the new place of their image, and how many have none any more."""

    moved: int = 0
    lost: int = 0


def follow(gallery: Gallery, store: Store) -> Followed:
    """Label the new places of labelled images, and take labels from what is another image now.

    An image is known again by its content. Only files are read that were written to since they
    were labelled, and those as large as an image that is missing. The label of a file that is gone
    stays in the store: it may come back.
    """
    state = store.state()
    doubtful = {p: one for p, one in state.labels.items() if _is_doubtful(gallery, p, one)}
    here = {one.hash for p, one in state.labels.items() if p not in doubtful}
    lost = {p: one.hash for p, one in doubtful.items() if p in gallery.at or one.hash not in here}
    photos = {p: gallery.photos[at] for p, at in gallery.at.items()} if lost else {}
    sizes = {p: photo.size for p, photo in photos.items() if p in lost or p not in state.labels}
    found = found_again(lost, sizes, lambda path: content_of(photos[path].place))
    moved = {old: new for old, new in found.items() if old != new}
    other = [p for p in lost if p in photos and p not in found.values()]
    store.append(_events(moved, other, state))
    return Followed(len(moved), len(set(other) - moved.keys()))


def _is_doubtful(gallery: Gallery, path: str, label: Label) -> bool:
    """Whether ``path`` is gone, or may be another image than that which got the ``label``."""
    at = gallery.at.get(path)
    if at is None:
        return True
    photo = gallery.photos[at]
    return photo.changed >= label.time - CLOCKS_S or photo.size != int(label.hash.split("-")[0])


def _events(moved: Mapping[str, str], other: Sequence[str], state: State) -> list[Event]:
    """Labels at new places, and none any more where an image is an ``other`` one."""
    events = [Event("unlabel", tuple(other), actor="overwritten")] if other else []
    for old, new in moved.items():
        hashes = (state.labels[old].hash,)
        event = Event("label", (new,), class_id=state.class_of(old), hashes=hashes, actor="moved")
        events.append(event)
    return events
