"""Who may talk to the server: this machine's browser with the token, from the page itself.

Everything else is refused before it reaches a route. Writes must come from the page's own origin
with a header that no form can send, and are small.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
HEADER = "x-lll"
BODY_BYTES = 2 * 2**20
BODY_SECONDS = 10.0
SAFE = ("GET", "HEAD")

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Lets in what may come in, and gives every answer the headers of `HEADERS`."""

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self._app, self._token = app, token
        self._cookie = f"lll-{port}"  # cookies do not tell ports apart
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a web socket: nobody is there

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = await self._refusal(Request(scope)) or self._entrance(Request(scope))
        if answer is None and scope["method"] not in SAFE:
            try:
                receive = await _bounded(receive)
            except _RefusedError as error:
                answer = PlainTextResponse(str(error), error.status)
        await (answer or self._app)(scope, receive, with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        host = headers.get("host", "")
        if headers.getlist("host") != [host] or host not in self._hosts:
            return PlainTextResponse("unknown host", 421)
        if not self._opens(request) and not self._has_token(headers):
            return PlainTextResponse("open the address that `lll label` printed", 403)
        if request.method in SAFE:
            return None
        if headers.getlist("origin") != [f"http://{host}"] or headers.get(HEADER) != "1":
            return PlainTextResponse("only the page itself may write", 403)
        if headers.get("content-type") != "application/json":
            return PlainTextResponse("not JSON", 415)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            return PlainTextResponse("too large", 413)
        return None

    def _opens(self, request: Request) -> bool:
        """Whether this is the address that was printed, with its token."""
        given = request.query_params.get("token", "")
        right = secrets.compare_digest(given.encode(), self._token.encode())
        return request.method == "GET" and request.url.path == "/" and right

    def _entrance(self, request: Request) -> Response | None:
        """Of the printed address: the token becomes a cookie and leaves the address."""
        if not self._opens(request):
            return None
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return answer

    def _has_token(self, headers: Headers) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        given = cookies[self._cookie].value if self._cookie in cookies else ""
        return secrets.compare_digest(given.encode(), self._token.encode())


class _RefusedError(Exception):
    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


async def _bounded(receive: Receive) -> Receive:
    """A ``receive`` that has the whole body, which came in time and is small enough."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > BODY_BYTES:
                    raise _RefusedError("too large", 413)
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    break
    except TimeoutError:
        raise _RefusedError("too slow", 408) from None
    whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return again
