"""What the stand-ins for APIs share: a real HTTP server on loopback that answers JSON, while a context lasts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonServer(ThreadingHTTPServer):
    """Listens on a free port of loopback."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @contextmanager
    def running(self) -> Iterator[str]:
        """Answer requests; gives the URL."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{self.server_port}"
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class JsonHandler(BaseHTTPRequestHandler):
    """Hands each request's body to `answer`, which sends one document."""

    disable_nagle_algorithm = True  # headers and body are two writes

    def log_message(self, *arguments: Any) -> None:
        """Nothing: the tests read what the stand-in noted."""

    def do_GET(self) -> None:
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def do_POST(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def answer(self, body: bytes) -> None:
        raise NotImplementedError

    def send(self, code: int, document: Any, media_type: str = "application/json") -> None:
        """Send JSON; a string is sent as it is."""
        content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
