"""Requests that the page would not send are refused, and the server stays up."""

import json
import socket
import uuid
from pathlib import Path

import pytest
from tests.label.serving import serving, start, write_images

from lll.label.guard import BODY_BYTES

ACT = {"uuid": str(uuid.UUID(int=1)), "op": "label", "images": [0], "name": "heron"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    place = tmp_path_factory.mktemp("guard")
    (place / "secret.txt").write_text("secret")
    with serving(write_images(place / "photos", 3), place / "cache") as served:
        yield served
        assert served.csv() == ["path,label,origin,time"], "nothing that was refused was written"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8484"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": None}, 400),
        ({"Cookie": None}, 403),
        ({"Cookie": "lll-1=x"}, 403),
        ({"Cookie": "=;;="}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/rows", "/image/0/thumb", "/export/csv", "/api/events"])
def test_reads_from_elsewhere(served, path, changed, status):
    assert served.ask("GET", path, **changed)[0] == status


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Cookie": None}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": None}, 403),
        ({"X-LLL": None}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_writes_from_elsewhere(served, changed, status):
    assert served.ask("POST", "/api/act", ACT, **changed)[0] == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps(ACT | {"op": "drop"}).encode(),
        json.dumps(ACT | {"images": [99]}).encode(),
        json.dumps(ACT | {"images": [-1]}).encode(),
        json.dumps(ACT | {"images": ["../../secret.txt"]}).encode(),
        json.dumps(ACT | {"images": [0] * 300_000}).encode(),
        json.dumps(ACT | {"uuid": "x"}).encode(),
        json.dumps(ACT | {"name": "x" * 300}).encode(),
        json.dumps(ACT | {"name": "\u202eevil"}).encode(),
        json.dumps(ACT | {"name": ""}).encode(),
        json.dumps(ACT | {"class_id": 7}).encode(),
        json.dumps(ACT | {"op": "undo", "images": []}).encode(),
    ],
    ids=range(17),
)
def test_acts_that_are_none(served, body):
    status, answer, _ = served.ask("POST", "/api/act", body)
    assert status == 400
    assert "\n" not in json.loads(answer)["error"]


def test_a_body_that_is_too_large(served):
    assert served.ask("POST", "/api/act", b"x" * (BODY_BYTES + 1))[0] == 413


def test_a_chunked_body_that_is_too_large(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as client:
        head = "".join(
            f"{name}: {value}\r\n"
            for name, value in {
                "Host": f"127.0.0.1:{served.port}",
                "Cookie": served.cookie,
                "Origin": f"http://127.0.0.1:{served.port}",
                "X-LLL": "1",
                "Content-Type": "application/json",
                "Transfer-Encoding": "chunked",
            }.items()
        )
        client.sendall(f"POST /api/act HTTP/1.1\r\n{head}\r\n".encode())
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(BODY_BYTES // 0x10000 + 4):
                client.sendall(chunk)
        except OSError:
            return  # it hung up
        assert b" 413 " in client.recv(200)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/image/../../secret.txt/thumb",
        "/image/0/../../secret.txt",
        "/image/-1/thumb",
        "/image/99/thumb",
        "/image/99999999999999999999/thumb",
        "/image/0/huge",
        "/api/question/99",
        "/api/similar/99",
        "/.lll/token",
        "/00000.png",
    ],
)
def test_paths_that_lead_out(served, path):
    status, body, _ = served.ask("GET", path)
    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods(served, method):
    assert served.ask(method, "/api/act", ACT)[0] == 405
    assert served.ask(method, "/api/act", ACT, Origin="http://evil.example")[0] == 403


def test_slow_clients_hold_nobody_up(served):
    slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(20)]
    for client in slow:
        client.sendall(b"POST /api/act HTTP/1.1\r\nHost: x\r\n")
    assert served.ask("GET", "/")[0] == 200
    for client in slow:
        client.close()


def test_what_every_answer_says(served):
    for path in ("/", "/image/0/full", "/nothing", "/export/csv"):
        headers = served.ask("GET", path)[2]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
    cookie = served.ask("GET", served.address.split(str(served.port))[1], Cookie=None)[2][
        "set-cookie"
    ]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert served.ask("GET", "/?token=wrong", Cookie=None)[0] == 403


def test_an_image_is_made_anew(served, tmp_path):
    status, body, headers = served.ask("GET", "/image/0/full")
    assert status == 200
    assert headers["Content-Type"] == "image/jpeg"
    assert body.startswith(b"\xff\xd8\xff")


def test_only_this_machine_and_one_server_for_a_folder(served, tmp_path):
    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{served.port:04X}")
    ]
    assert listening == [f"0100007F:{served.port:04X}"]
    folder = served.folder
    with pytest.raises(AssertionError, match=f"process {served.child.pid} .* writes its labels"):
        start(Path(folder), tmp_path)
    assert (Path(folder) / ".lll" / "token").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("left", ["", "x"], ids=["empty", "a part"])
def test_a_token_that_a_kill_left_unfinished_is_made_anew(tmp_path, left):
    folder = write_images(tmp_path / "photos", 1)
    (folder / ".lll").mkdir()
    (folder / ".lll" / "token").write_text(left)
    with serving(folder, tmp_path / "cache") as served:
        kept = folder / ".lll" / "token"
        assert len(kept.read_text()) == 43
        assert kept.stat().st_mode & 0o077 == 0
        assert served.ask("GET", f"/?token={left}", Cookie=None)[0] == 403
