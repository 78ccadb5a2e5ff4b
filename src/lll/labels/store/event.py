"""What a person or a model did: one event of a store."""

from __future__ import annotations

from dataclasses import dataclass

FOLLOWERS = ("moved", "overwritten")
"""Actors that follow what was done to the files: nobody did it on purpose here."""
ORIGINS = ("person", "suggestion", "import", "pseudo", "audit")


@dataclass(frozen=True, slots=True)
class Event:
    """One event. The caller says ``op`` and what belongs to it; the store fills in the rest.

    ``images`` are paths in the folder, with "/". What each op needs beside them:

    - ``label``: ``class_id``; ``origin``, one of `ORIGINS`; ``model`` and ``confidence`` of the
      suggestion, if any. With the origin ``audit`` also ``predicted``, the class that the model
      gave before the image was shown (None if it said that it is of no known class);
    - ``unlabel``; ``not`` (the image is not of ``class_id``); ``skip`` and ``unsure``;
    - ``class``: a new class called ``name``; ``rename``: ``class_id`` and ``name``;
    - ``merge``: ``class_id`` becomes an alias of the class ``into``;
    - ``split``: ``images`` of ``class_id`` go to a new class called ``name``;
    - ``propose``: ``images`` may be a class, for now called ``name``;
    - ``name``: ``proposal`` is the class called ``name``, new or not; its images, or those of
      them in ``images``, become labels of the origin ``suggestion``;
    - ``reject``: ``proposal`` is no class, or ``images`` are not of it;
    - ``undo`` and ``redo``: the batch ``undone``.

    The store gives ``seq`` and the ids of new classes (``class_id``, of a split ``into``) and
    proposals. Where they are not given it also fills in ``uuid``, ``time`` (seconds since 1970),
    ``batch`` (one for all events of one call, undone together) and ``hashes`` (one per image,
    see `content_of`). ``previous`` are the class ids of the images before the event.
    """

    op: str
    images: tuple[str, ...] = ()
    class_id: int | None = None
    into: int | None = None
    proposal: int | None = None
    name: str = ""
    origin: str = "person"
    predicted: int | None = None
    confidence: float | None = None
    model: str = ""
    actor: str = "person"
    hashes: tuple[str, ...] = ()
    previous: tuple[int | None, ...] = ()
    undone: str = ""
    batch: str = ""
    uuid: str = ""
    time: float = 0.0
    seq: int = 0
