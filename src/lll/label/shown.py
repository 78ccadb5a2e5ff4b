"""What the page is sent: a summary whenever something changes, and arrays over all images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from lll.label.session import NONE, Session
from lll.labels.store import Event, State, told
from lll.metrics.wilson import wilson
from lll.words import listed

RECENT = 60  # audits that count: the model of long ago was another
EVENTS, BATCHES = 500, 30  # that the history looks at and shows
SHEET = 12  # images of a proposal that are shown


def summary(session: Session) -> dict[str, Any]:
    """All that is small; the page is sent it whenever it changes."""
    with session.lock:
        targets = session.targets()
        ids, sizes = np.unique(targets[targets >= 0], return_counts=True)
        counts = dict(zip(ids.tolist(), sizes.tolist(), strict=True))
        audits = _audits(session.state)[-RECENT:]
        return {
            "version": session.version,
            "images": len(session.gallery.at),
            "encoded": session.encoded,
            "broken": sum(not session.gallery.photos[n].gone for n in session.broken),
            "busy": session.busy,
            "fault": session.fault,
            "notice": session.notice,
            "training": session.training,
            "doubtful": len(session.doubtful),
            "twins": len(session.twins),
            "curve": session.curve and asdict(session.curve) | {"limit": session.curve.limited_by},
            "model": session.guess
            and {
                "name": session.guess.name,
                "learner": session.guess.learner,
                "labels": session.guess.labels,
            },
            "maps": session.maps,
            "map_note": session.map_note,
            "news": session.news,
            "editions": session.editions.copy(),
            "classes": [
                {
                    "id": class_id,
                    "name": name,
                    "count": counts.get(class_id, 0),
                    "audit": _scored([right for c, right in audits if c == class_id]),
                }
                for class_id, name in session.state.live().items()
            ],
            "labelled": int(sizes.sum()),
            "marked": len(session.state.marks),
            "audit": _scored([right for _, right in audits]),
            "proposals": [
                {
                    "id": p.id,
                    "name": p.name,
                    "count": len(p.images),
                    "sheet": session.numbers(p.images)[:SHEET],
                }
                for p in session.state.proposals.values()
            ],
        }


def _audits(state: State) -> list[tuple[int, bool]]:
    """Of each audited image its class now, and whether that was predicted; oldest first."""
    out = []
    for path, audit in sorted(state.audits.items(), key=lambda item: item[1].seq):
        truth = state.class_of(path)
        if truth is not None:
            said = audit.predicted
            out.append((truth, said is not None and state.resolved(said) == truth))
    return out


def _scored(right: list[bool]) -> dict[str, Any]:
    """How many of the audited were right, and the Wilson interval of the share."""
    low, high = wilson(sum(right), len(right))
    return {"n": len(right), "right": sum(right), "low": low, "high": high}


def rows(session: Session) -> bytes:
    """Of each image label and guess (int16 class ids, -1 for none), how sure, and a mark.

    Four arrays one after another: int16 [n], int16 [n], uint8 [n] in 1/255, uint8 [n]
    (0, or 1 skipped, 2 unsure, 3 not readable).
    """
    with session.lock:
        labels = session.targets().astype("<i2")
        guess, state = session.guess, session.state
        marks = np.zeros(len(labels), dtype=np.uint8)
        for path, mark in state.marks.items():
            if (at := session.gallery.at.get(path)) is not None:
                marks[at] = 1 if mark == "skip" else 2
        marks[list(session.broken)] = 3
        excluded = [session.gallery.at[p] for p in state.excluded if p in session.gallery.at]
    best, sure = np.full(len(labels), NONE, "<i2"), np.zeros(len(labels), np.uint8)
    if guess is not None:
        best, sure = guess.best()
        best, sure = best.copy(), sure.copy()
        for image in excluded:
            ranked = guess.ranked(image, session.excluded(image))
            best[image], sure[image] = (
                (ranked[0][0], round(255 * ranked[0][1])) if ranked else (NONE, 0)
            )
    return labels.tobytes() + best.astype("<i2").tobytes() + sure.tobytes() + marks.tobytes()


def history(session: Session) -> list[dict[str, Any]]:
    """The last batches of events, newest first: what was done, when, and whether it is undone."""
    with session.lock:
        state = session.state
        batches: dict[str, list[Event]] = {}
        for event in session.store.history(since=max(0, state.seq - EVENTS)):
            if event.op not in ("undo", "redo"):
                batches.setdefault(event.batch, []).append(event)
        return [
            {
                "batch": batch,
                "time": events[0].time,
                "by": events[0].actor,
                "what": listed(dict.fromkeys(told(event, state) for event in events), 3),
                "images": len({image for event in events for image in event.images}),
                "undone": batch in state.undone,
            }
            for batch, events in [*batches.items()][: -BATCHES - 1 : -1]
        ]
