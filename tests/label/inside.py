"""The page's application in this process: requests without a server, a browser or a model."""

import asyncio
import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lll.label.app import Page, make_app
from lll.label.gallery import open_gallery
from lll.label.rescan import Watcher
from lll.label.session import Session
from lll.label.training import Training
from lll.label.worker import Worker
from lll.labels.store import open_store


@dataclass
class Inside:
    """The application, and the session behind it; nothing runs in the background."""

    app: object
    session: Session
    watcher: Watcher

    def ask(self, method, path, body=None):
        """Status and body of an answer."""
        sent = []

        async def receive():
            return {"type": "http.request", "body": json.dumps(body).encode()}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        asyncio.run(self.app(scope, receive, send))
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)

    def act(self, op, images=(), **about):
        """Status and answer to what the page does."""
        act = {"uuid": str(uuid.uuid4()), "op": op, "images": list(images)} | about
        status, body = self.ask("POST", "/api/act", act)
        return status, json.loads(body)

    def get(self, path):
        status, body = self.ask("GET", path)
        assert status == 200
        return json.loads(body)


@contextmanager
def inside(folder: Path):
    """The application of ``folder``."""
    with open_store(folder, write=True) as store:
        session = Session(open_gallery(folder), store)
        watcher = Watcher(session)
        training = Training(folder, None, session.say)
        app = make_app(Page(session, Worker(session, None), training, watcher))
        yield Inside(app, session, watcher)
