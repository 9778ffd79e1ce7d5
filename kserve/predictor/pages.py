"""What a browser gets: the page to try the model at ``/``, and the API documentation at ``/docs``; nothing external."""

import base64
import hashlib
import re
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from predictor.answers import JsonResponse

router = APIRouter(include_in_schema=False)

_PAGE = Path(__file__).parent / "page"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)

page_files = StaticFiles(directory=_PAGE)
docs_files = StaticFiles(directory=_SWAGGER)


@router.get("/")
async def page(request: Request) -> Response:
    """The page for a browser; for everything else kserve's answer, which its v1 client reads as a sign of life."""
    if "text/html" in request.headers.get("accept", ""):
        return FileResponse(_PAGE / "index.html", headers={"Vary": "Accept"})
    return JsonResponse({"status": "alive"}, headers={"Vary": "Accept"})


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
