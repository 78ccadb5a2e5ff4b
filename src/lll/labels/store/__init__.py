"""A folder's own labels: events in ``FOLDER/.lll/labels.sqlite``, and what they add up to."""

from __future__ import annotations

from lll.labels.store.content import content_of, found_again
from lll.labels.store.event import Event
from lll.labels.store.names import check_new_name, checked_name
from lll.labels.store.state import Audit, Class, Label, Proposal, State, replay
from lll.labels.store.store import Store, has_store, open_store, store_path
from lll.labels.store.telling import told

__all__ = [
    "Audit",
    "Class",
    "Event",
    "Label",
    "Proposal",
    "State",
    "Store",
    "check_new_name",
    "checked_name",
    "content_of",
    "found_again",
    "has_store",
    "open_store",
    "replay",
    "store_path",
    "told",
]
