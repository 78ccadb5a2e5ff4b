"""One server for one folder, on this machine alone."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from lll.errors import UserError
from lll.label.app import Page, make_app
from lll.label.gallery import open_gallery
from lll.label.guard import HOST, Guard
from lll.label.rescan import Watcher
from lll.label.session import Session
from lll.label.training import Training
from lll.label.worker import Worker
from lll.labels.store import open_store, store_path

PORT = 8484  # the first that is tried: a page left open finds the server again after a restart
TRIED = 20
TOKEN_LENGTH = 43  # characters, of 32 bytes


def serve(folder: Path, port: int | None, cache: Path | None, told: Callable[[str], None]) -> None:
    """Serve the labelling page of ``folder`` until the process is asked to stop.

    ``told`` is called with the address once the page can be opened. ``port`` None takes the first
    free one. UserError for a folder without images, a port that is taken, and a folder whose
    labels another process writes.
    """
    gallery = open_gallery(folder)
    with open_store(folder, write=True) as store, _listening(port) as listener:
        session = Session(gallery, store)
        worker = Worker(session, cache)
        training = Training(folder, cache, session.say)
        watcher = Watcher(session)
        page = Page(session, worker, training, watcher)
        number = listener.getsockname()[1]
        token = _token(store_path(folder).with_name("token"))
        config = uvicorn.Config(
            Guard(make_app(page), number, token),
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=10,
            timeout_graceful_shutdown=1,
            limit_concurrency=200,
            h11_max_incomplete_event_size=16 * 1024,
            http="h11",
            ws="none",
        )
        server = _Server(config, page)
        worker.start()
        watcher.start()
        told(f"http://{HOST}:{number}/?token={token}")
        try:
            with suppress(KeyboardInterrupt):  # the way to end it
                server.run(sockets=[listener])
        finally:
            training.stop()
            watcher.stop()
            worker.stop()


class _Server(uvicorn.Server):
    """Ends the streams of events when it is asked to stop, and leaves signals to the command."""

    def __init__(self, config: uvicorn.Config, page: Page) -> None:
        super().__init__(config)
        self._page = page

    def handle_exit(self, sig: int, frame: object) -> None:
        """Stop."""
        self._page.closing = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def _listening(port: int | None) -> socket.socket:
    """A socket on this machine that listens on ``port``, or the first free one."""
    for number in [port] if port is not None else [*range(PORT, PORT + TRIED), 0]:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen(128)  # so that a browser that is opened now waits
            return listener
        except OSError as error:
            listener.close()
            reason = error.strerror
    raise UserError(f"port {port} cannot be used ({reason}): choose another with --port")


def _token(path: Path) -> str:
    """The folder's token, for its owner alone; kept, so that an open page survives a restart."""
    with suppress(FileNotFoundError):
        kept = path.read_text()
        if len(kept) == TOKEN_LENGTH:  # a kill may have left less
            return kept
    token = secrets.token_urlsafe(32)
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # for its owner alone
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    Path(name).replace(path)
    return token
