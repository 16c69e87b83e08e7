"""Serves the page on this machine, to this machine alone."""

from __future__ import annotations

import contextlib
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from jaxmaze.core.types import Json
from jaxmaze.errors import UserError
from jaxmaze.viewing import html

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
PORT = 8765
"""The port that is tried first if none is asked for."""
NAMES = (HOST, "localhost")
"""Hosts that a request may name; any other would be a stranger's page in disguise."""
HEADERS = {
    "Content-Security-Policy": html.SERVED,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class Content(Protocol):
    """What is served; see :class:`jaxmaze.viewing.viewer.Viewer`."""

    def overview(self) -> Json: ...
    def episode(self, number: int, index: int) -> Json: ...
    def at_seed(self, number: int, seed: int) -> Json: ...
    def replay(self, number: int, index: int) -> Json: ...
    def disagreements(self, measure: int) -> Json: ...
    def frame(self, number: int, index: int, t: int) -> bytes | None: ...
    def image(self, number: int, index: int, leaf: str, t: int) -> bytes | None: ...


def application(content: Content) -> Starlette:
    """The web application.

    Raises:
      UserError: if the package for it is missing.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.responses import Response
        from starlette.routing import Route
    except ImportError:
        raise UserError(
            "serving the page needs a package: pip install 'jaxmaze[view]'; --export=FILE.html "
            "writes it without"
        ) from None

    def answer(body: bytes | str, kind: str, status: int = 200, keep: bool = False) -> Response:
        cache = "private, max-age=3600" if keep else "no-store"
        return Response(body, status, HEADERS | {"Cache-Control": cache}, kind)

    def asked(method: str) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            try:
                found = getattr(content, method)(**request.path_params)
            except UserError as error:
                return answer(html.as_json({"error": str(error)}), "application/json", 404)
            return answer(html.as_json(found), "application/json")

        return respond

    def picture(method: str, kind: str) -> Callable[[Request], Response]:
        def respond(request: Request) -> Response:
            with contextlib.suppress(UserError):
                given = {"leaf": request.query_params["leaf"]} if method == "image" else {}
                found = getattr(content, method)(**request.path_params, **given)
                if found is not None:
                    return answer(found, kind, keep=True)
            return Response(status_code=204)  # there is none, which is no fault

        return respond

    def file(name: str) -> Callable[[Request], Response]:
        return lambda _: answer(html.text(name), KINDS[name.rpartition(".")[2]])

    return Starlette(
        routes=[
            Route("/", file("index.html")),
            *(Route(f"/{name}", file(name)) for name in (html.STYLE, *html.SCRIPTS)),
            Route("/api/overview", asked("overview")),
            Route("/api/episode/{number:int}/{index:int}", asked("episode")),
            Route("/api/seed/{number:int}/{seed:int}", asked("at_seed")),
            Route("/api/replay/{number:int}/{index:int}", asked("replay")),
            Route("/api/disagreements/{measure:int}", asked("disagreements")),
            Route("/frame/{number:int}/{index:int}/{t:int}", picture("frame", "image/jpeg")),
            Route("/image/{number:int}/{index:int}/{t:int}", picture("image", "image/png")),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(NAMES), www_redirect=False)
        ],
    )


def serve(content: Content, port: int, open_browser: bool = False) -> None:
    """Serve until Ctrl-C; prints the address once the page can be opened.

    Args:
      content: what is served.
      port: 0 for :data:`PORT`, or any other if that is taken.
      open_browser: whether to open the page.

    Raises:
      UserError: if the package for it is missing, or the port is taken.
    """
    app = application(content)
    # The table is read while the server starts and the browser is opened.
    threading.Thread(target=content.overview, daemon=True).start()
    try:
        import uvicorn
    except ImportError:
        raise UserError("serving the page needs uvicorn: pip install 'jaxmaze[view]'") from None
    with _bound(port) as bound:
        address = f"http://{HOST}:{bound.getsockname()[1]}/"
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_level="error",
            timeout_graceful_shutdown=1,
        )
        print(f"open {address} in a browser; Ctrl-C ends it", flush=True)
        if open_browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])


def _bound(port: int) -> socket.socket:
    """A socket that listens at a port, so that the address is right when it is printed."""
    for number in (port,) if port else (PORT, 0):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((HOST, number))
            found.listen(128)
            return found
        except OSError as error:
            found.close()
            why = error
    raise UserError(f"--port={port} cannot be used ({why.strerror}); give another, or 0 for any")
