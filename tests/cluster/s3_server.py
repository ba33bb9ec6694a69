"""A server that speaks S3, for tests: moto's, one request at a time, which lets one key in.

    python s3_server.py KEY_ID BUCKET…

Prints its port. One request at a time makes conditional puts atomic, as they are on S3. What it refuses it
answers as S3 does, with the key id that was sent. It ends with its standard input.
"""

from __future__ import annotations

import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client

REFUSED = (
    '<?xml version="1.0"?><Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message>'
    "<AWSAccessKeyId>{sent}</AWSAccessKeyId></Error>"
)


class OneKey:
    """The application behind a door that opens to one key."""

    def __init__(self, application, key_id: str) -> None:
        self.application, self.key_id = application, key_id
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        sent = environ.get("HTTP_AUTHORIZATION", "")
        if f"Credential={self.key_id}/" not in sent:
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [REFUSED.format(sent=sent).encode()]
        with self.lock:
            return [b"".join(self.application(environ, start_response))]


def main(key_id: str, *buckets: str) -> None:
    """Serves until standard input ends."""
    application = OneKey(DomainDispatcherApplication(create_backend_app), key_id)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={key_id}/20260101/us-east-1/s3/aws4_request"}
    for bucket in buckets:
        answer = Client(application).put(
            f"/{bucket}", headers=headers, base_url=f"http://127.0.0.1:{server.port}"
        )
        assert answer.status_code == 200, answer.get_data(as_text=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
