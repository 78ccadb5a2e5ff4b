"""The routes of the page; `lll.label.guard` stands before them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lll.data.decoding import UnreadableError
from lll.data.exchange import FORMATS, as_folders, labels_of_folder
from lll.errors import UserError
from lll.label.acts import Act, Folders, Search, read
from lll.label.gallery import SIDES
from lll.label.rescan import Watcher
from lll.label.session import SUGGESTIONS, Question, Session
from lll.label.shown import history, rows, summary
from lll.label.training import Training
from lll.label.worker import Worker

STATIC = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{
        f"{name}.js": "text/javascript; charset=utf-8"
        for name in (
            "main",
            "server",
            "ask",
            "tiles",
            "grid",
            "map",
            "dots",
            "classes",
            "progress",
            "dom",
            "keys",
        )
    },
}
MEDIA = {
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
}
POLL_S = 0.15  # between looks at what is new
PING_S = 15.0
FULL = 507  # nothing was written, and the page keeps the answer and tries again


class Page:
    """The answers to the page's requests, about one session."""

    def __init__(
        self, session: Session, worker: Worker, training: Training, watcher: Watcher
    ) -> None:
        self._session, self._worker, self._training = session, worker, training
        self._watcher = watcher
        self.closing = False

    def routes(self) -> list[Route]:
        """Every address there is."""
        return [
            Route("/", self.static),
            Route("/static/{name}", self.static),
            Route("/image/{number:int}/{size}", self.image),
            Route("/api/events", self.events),
            Route("/api/ask", self.ask),
            Route("/api/question/{number:int}", self.question),
            Route("/api/rows", self.rows),
            Route("/api/map", self.map),
            Route("/api/similar/{number:int}", self.similar),
            Route("/api/problems", self.problems),
            Route("/api/act", self.act, methods=["POST"]),
            Route("/api/discover", self.discover, methods=["POST"]),
            Route("/api/train", self.train, methods=["POST"]),
            Route("/api/rescan", self.rescan, methods=["POST"]),
            Route("/api/history", self.history),
            Route("/api/folders", self.folders, methods=["POST"]),
            Route("/export/{form}", self.export),
        ]

    def static(self, request: Request) -> Response:
        """A file of the page, by its name."""
        name = request.path_params.get("name", "index.html")
        if name not in STATIC:
            return PlainTextResponse("not found", 404)
        content = (files("lll.label") / "static" / name).read_bytes()
        return Response(content, media_type=STATIC[name])

    def image(self, request: Request) -> Response:
        """An image by its number, as a JPEG made here."""
        number, size = request.path_params["number"], request.path_params["size"]
        gallery = self._session.gallery
        if number >= len(gallery) or size not in SIDES:
            return PlainTextResponse("not found", 404)
        try:
            content = gallery.picture(number, size)
        except UnreadableError as error:
            with self._session.lock:
                if number not in self._session.broken:
                    self._session.broken[number] = str(error)
                    self._session.changed()
            return PlainTextResponse("not readable", 404)
        keep = {"Cache-Control": "private, max-age=3600"}
        return Response(content, media_type="image/jpeg", headers=keep)

    async def events(self, request: Request) -> Response:
        """The summary whenever it changes, as server-sent events."""
        last = request.headers.get("last-event-id", "")

        async def told() -> AsyncIterator[str]:
            seen, quiet = last, 0.0
            while not self.closing:
                version = str(self._session.version)
                if version != seen:
                    told_now = await run_in_threadpool(summary, self._session)
                    seen, quiet = str(told_now["version"]), 0.0
                    yield f"id: {seen}\ndata: {json.dumps(told_now)}\n\n"
                elif quiet > PING_S:
                    quiet = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(POLL_S)
                quiet += POLL_S

        return StreamingResponse(told(), media_type="text/event-stream")

    def ask(self, request: Request) -> Response:
        """The next question; ``held`` lists the images that the page has already."""
        held = [int(n) for n in request.query_params.get("held", "").split(",") if n.isdecimal()]
        inside = {n for n in held if n < len(self._session.gallery)}
        return JSONResponse(self._told(self._session.ask(inside)))

    def question(self, request: Request) -> Response:
        """The question of one image as it stands now."""
        number = request.path_params["number"]
        if number >= len(self._session.gallery):
            return PlainTextResponse("not found", 404)
        return JSONResponse(self._told(self._session.again(number)))

    def _told(self, question: Question | None) -> dict[str, Any] | None:
        """What the page is told of a question, and not whether it is an audit."""
        if question is None:
            return None
        path = self._session.gallery.photos[question.image].path
        return {
            "image": question.image,
            "path": path,
            "suggestions": [list(pair) for pair in question.ranked[:SUGGESTIONS]],
        }

    def rows(self, request: Request) -> Response:
        """See `lll.label.shown.rows`."""
        return _binary(rows(self._session))

    def map(self, request: Request) -> Response:
        """Places on the map, float32 [n, 2]."""
        places = self._session.places
        return _binary(b"" if places is None else places.astype("<f4").tobytes())

    def similar(self, request: Request) -> Response:
        """The images most like one."""
        number = request.path_params["number"]
        if number >= len(self._session.gallery):
            return PlainTextResponse("not found", 404)
        return JSONResponse(self._worker.similar(number))

    def problems(self, request: Request) -> Response:
        """Images that cannot be read, and why; labels that may be wrong; images that are alike."""
        session = self._session
        with session.lock:
            broken = sorted(session.broken.items())
        photos = session.gallery.photos
        return JSONResponse(
            {
                "broken": [[number, photos[number].path, why] for number, why in broken],
                "doubtful": session.doubtful,
                "twins": session.twins,
            }
        )

    async def discover(self, request: Request) -> Response:
        """Begin to look for new classes."""
        body = await request.body()
        return await run_in_threadpool(_answered, lambda: self._search(read(Search, body)))

    def _search(self, wanted: Search) -> dict[str, Any]:
        self._worker.discover(wanted.new)
        return {}

    def train(self, request: Request) -> Response:
        """Begin a run of `lll train` on the folder."""
        return JSONResponse({"begun": self._training.begin()})

    def rescan(self, request: Request) -> Response:
        """Look through the folder now."""
        self._watcher.look()
        return JSONResponse({})

    async def act(self, request: Request) -> Response:
        """Do what a person did."""
        body = await request.body()
        return await run_in_threadpool(_answered, lambda: self._session.act(read(Act, body)))

    def history(self, request: Request) -> Response:
        """See `lll.label.shown.history`."""
        return JSONResponse(history(self._session))

    def export(self, request: Request) -> Response:
        """Every label as a file, as `lll labels export` writes it."""
        form = request.path_params["form"]
        if form not in FORMATS:
            return PlainTextResponse("not found", 404)
        suffix, made = FORMATS[form]
        content = made(labels_of_folder(self._session.gallery.folder))
        attach = {"Content-Disposition": f'attachment; filename="labels{suffix}"'}
        return Response(content, media_type=MEDIA[suffix], headers=attach)

    async def folders(self, request: Request) -> Response:
        """Copies of the labelled images, or links, in a new folder of class folders."""
        body = await request.body()
        return await run_in_threadpool(_answered, lambda: self._sort(read(Folders, body)))

    def _sort(self, wanted: Folders) -> dict[str, Any]:
        folder = self._session.gallery.folder
        rows = labels_of_folder(folder)
        out = folder.resolve().parent / Path(wanted.out).expanduser()
        as_folders(rows, folder, out, link=wanted.link)
        return {"out": str(out), "images": len(rows)}


def make_app(page: Page) -> Starlette:
    """The application, without its guard."""
    return Starlette(routes=page.routes())


def _binary(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream")


def _answered(work: Callable[[], dict[str, Any]]) -> Response:
    """What ``work`` gives, or in one line why it was not done."""
    try:
        return JSONResponse(work())
    except UserError as error:
        # The store says in words what SQLite raised: then the disk is at fault, not the act.
        kept = isinstance(error.__context__, sqlite3.Error | OSError)
        return JSONResponse({"error": str(error)}, FULL if kept else 400)
