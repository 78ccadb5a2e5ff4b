"""A stand-in for the HTTP API of the Hugging Face Hub, in memory, on this machine."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by name: their files, and whether they are private."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def running() -> Iterator[Hub]:
    """The stand-in, until the end."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def say(self, value: object) -> None:
            self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
                if name in hub.files:
                    return self.answer(409, b"{}")
                hub.files[name], hub.private[name] = (
                    {},
                    "private" in (asked.get("visibility"), *asked),
                )
                return self.say({"url": f"{hub.address}/{name}"})
            if self.path == "/api/validate-yaml":
                return self.say({"warnings": [], "errors": []})
            found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path)
            if not found or found[1] not in hub.files:
                return self.answer(404, X_Error_Code="RepoNotFound")
            if found[2] == "preupload":
                names = [file["path"] for file in json.loads(body)["files"]]
                regular = {"uploadMode": "regular", "shouldIgnore": False}
                return self.say({"files": [{"path": name, **regular} for name in names]})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    hub.files[found[1]][line["value"]["path"]] = content
            return self.say(
                {"commitUrl": f"{hub.address}/{found[1]}/commit/1", "commitOid": COMMIT}
            )

        def do_GET(self) -> None:
            hub.asked.append(self.path)
            found = re.fullmatch(r"/(?:api/models/)?([^/]+/[^/]+)/?(.*)", self.path.split("?")[0])
            if not found or found[1] not in hub.files:
                return self.answer(404, X_Error_Code="RepoNotFound")
            files = hub.files[found[1]]
            if found[2].startswith("tree/"):
                return self.say(
                    [
                        {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                        for name, content in files.items()
                    ]
                )
            if self.path.startswith("/api/models/"):
                return self.say({"id": found[1], "sha": COMMIT, "siblings": []})
            content = files.get(re.sub(r"^resolve/[^/]+/", "", found[2]))
            if content is None:
                return self.answer(404, X_Error_Code="EntryNotFound")
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.answer(200, content, ETag=etag, X_Repo_Commit=COMMIT)

        do_HEAD = do_GET  # noqa: N815 - its base wants it so

    return Handler
