"""What a browser gets: the page to try the model at ``/``, and the API documentation at ``/docs``; nothing external."""

import base64
import hashlib
import re
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from predictor.http.responses import JsonResponse
from predictor.http.routes.shared import Board

router = APIRouter(include_in_schema=False)

_PAGE = Path(__file__).parents[1] / "page"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def add(application: FastAPI) -> None:
    """Serve people: the page, and the documentation of the API."""
    application.include_router(router)
    application.mount("/page", StaticFiles(directory=_PAGE))
    application.mount("/docs/files", StaticFiles(directory=_SWAGGER))


def leave_out(application: FastAPI) -> None:
    """Serve programs alone: the sign of life stays, and the API's description, which FastAPI makes by itself, goes."""
    application.add_api_route("/", alive, include_in_schema=False)
    application.router.routes[:] = [
        route for route in application.router.routes if getattr(route, "path", "") != application.openapi_url
    ]


async def alive() -> Response:
    """kserve's answer, which its v1 client reads as a sign of life."""
    return JsonResponse({"status": "alive"}, headers={"Vary": "Accept"})


@router.get("/")
async def page(request: Request, switchboard: Board) -> Response:
    """Return the page to a browser, and to every other client kserve's sign of life."""
    if "text/html" not in request.headers.get("accept", ""):
        return await alive()
    content = (_PAGE / "index.html").read_text(encoding="utf-8")
    if switchboard.served is not None and switchboard.served.index is not None:
        content = content.replace("<body>", '<body data-index="yes">')
    return HTMLResponse(content, headers={"Vary": "Accept"})


@router.get("/docs")
async def docs() -> HTMLResponse:
    """Swagger UI from the package that carries its files."""
    made = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="ranklift predictor: API",
        swagger_js_url="docs/files/swagger-ui-bundle.js",
        swagger_css_url="docs/files/swagger-ui.css",
        swagger_favicon_url="docs/files/favicon.png",
    )
    content = bytes(made.body).decode("utf-8")
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in _INLINE_SCRIPT.findall(content))
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(content, headers={"Content-Security-Policy": policy})


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
