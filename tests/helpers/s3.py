"""A real S3 server on this machine (moto's), which counts requests and can fail."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

ERROR = '<?xml version="1.0"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'
STATUS = {'SlowDown': '503 Slow Down', 'InvalidAccessKeyId': '403 Forbidden'}


class S3Server:
    """The application of the server.

    Attributes:
        requests: Method, path and range of each request.
        fault: Of a request, a key of ``STATUS``, 'cut' for half of the answer, or None.
    """

    def __init__(self, app: Callable) -> None:
        self._app = app
        self.requests: list[tuple[str, str, str]] = []
        self.fault: Callable[[str, str, str], str | None] = lambda *request: None
        self.url = ''

    def __call__(self, environ: dict, start_response: Callable) -> Any:
        request = (environ['REQUEST_METHOD'], environ['PATH_INFO'], environ.get('HTTP_RANGE', ''))
        self.requests.append(request)
        fault = self.fault(*request)
        if fault in STATUS:
            start_response(STATUS[fault], [('Content-Type', 'application/xml')])
            return [ERROR.format(fault).encode()]
        body = b''.join(self._app(environ, start_response))
        return [body[:len(body) // 2] if fault == 'cut' else body]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run the server until the block ends."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *args: Any) -> None:
            pass

    app = S3Server(DomainDispatcherApplication(create_backend_app))
    server = make_server('127.0.0.1', 0, app, threaded=True, request_handler=Quiet)
    app.url = f'http://127.0.0.1:{server.server_port}'
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield app
    finally:
        server.shutdown()
