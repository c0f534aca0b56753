"""A store and a web server on loopback that fail as a test says: moto's S3, and files under `/web/`."""

import hashlib
import re
import threading
import time
from collections.abc import Callable

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>as the test says</Message></Error>"
STATUS = {
    "SlowDown": "503 Slow Down",
    "AccessDenied": "403 Forbidden",
    "InternalError": "500 Error",
}

Fault = Callable[[str, str, int], str | None]  # method, path, how many GETs came before


class Quiet(WSGIRequestHandler):
    def log(self, *rest):
        pass


class Server:
    """Answers as moto does, but where `fault` names a fault.

    Faults: "SlowDown", "AccessDenied", "InternalError" (errors of S3); "dropped" (half of the content, then the
    connection ends); "short" (half of the content, with a length that fits); "slow" (it takes a second).

    Attributes:
        requests: (method, path, range) of all.
        files: what lies under `/web/`, by name.
        has_ranges: whether the web server gives parts.
    """

    def __init__(self):
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.address = f"127.0.0.1:{self._server.port}"
        self.url = f"http://{self.address}"
        self.reset()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self):
        self.requests: list[tuple[str, str, str]] = []
        self.files: dict[str, bytes] = {}
        self.has_ranges = True
        self.fault: Fault = lambda method, path, number: None
        self._gets = 0

    def close(self):
        self._server.shutdown()

    @property
    def gets(self) -> list[str]:
        return [path for method, path, _ in self.requests if method == "GET"]

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path, environ.get("HTTP_RANGE", "")))
        fault = self.fault(method, path, self._gets)
        self._gets += method == "GET"
        if fault in STATUS:
            start_response(STATUS[fault], [("Content-Type", "application/xml")])
            return [ERROR.format(fault).encode()]
        answer = self._web if path.startswith("/web/") else self._moto
        if fault == "slow":
            time.sleep(1)
        if fault not in ("dropped", "short"):
            return answer(environ, start_response)
        return self._half(answer, environ, start_response, fault)

    def _half(self, answer, environ, start_response, fault):
        given = []
        body = b"".join(
            answer(environ, lambda status, headers, *rest: given.append((status, headers)))
        )
        (status, headers), half = given[0], body[: len(body) // 2]
        if fault == "short":
            headers = [
                (k, str(len(half)) if k.lower() == "content-length" else v) for k, v in headers
            ]
        start_response(status, headers)
        return [half]

    def _web(self, environ, start_response):
        content = self.files.get(environ["PATH_INFO"].removeprefix("/web/"))
        if content is None:
            start_response("404 Not Found", [])
            return [b"no"]
        headers = [("ETag", f'"{hashlib.sha256(content).hexdigest()}"')]
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", environ.get("HTTP_RANGE", ""))
        if part and self.has_ranges:
            start, stop = int(part[1]), min(int(part[2]) + 1, len(content))
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}"))
            content, status = content[start:stop], "206 Partial Content"
        else:
            status = "200 OK"
        start_response(status, [*headers, ("Content-Length", str(len(content)))])
        return [content]


def once_each(fault: str, every: int = 3) -> Fault:
    """Every third path fails once, with the given fault."""
    seen: dict[str, int] = {}

    def decide(method, path, number):
        if method != "GET" or path.count("/") < 2:
            return None
        seen.setdefault(path, len(seen))
        is_first = seen[path] >= 0 and seen[path] % every == 0
        seen[path] = -1
        return fault if is_first else None

    return decide
