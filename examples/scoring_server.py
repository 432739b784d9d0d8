"""A classifier behind HTTP, for `occlumap explain photo.jpg --classifier http://127.0.0.1:8000/`.

    python examples/scoring_server.py [CLASSIFIER [PORT]]

POST {"images": [base64 of a PNG, ...]}, or files named `images`, gives {"scores": [[...], ...]}, a row for each image.
Only the standard library and occlumap; one process, one thread for each request. For this machine only: it asks for no
secret unless SCORING_TOKEN is set, which then must come as `Authorization: Bearer`.
"""

import argparse
import base64
import email.policy
import hmac
import json
import os
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

import occlumap

LARGEST = 256 * 2**20


class Handler(BaseHTTPRequestHandler):
    """Answers POST with scores; `classifier` is set below."""

    classifier: Any = None

    def do_POST(self) -> None:
        """Scores of the images of one request."""
        token = os.environ.get("SCORING_TOKEN")
        given = self.headers.get("Authorization", "").encode()
        if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return self.answer(401, {"error": "expected the secret as Authorization: Bearer"})
        told = self.headers.get("Content-Length", "")
        length = int(told) if told.isdecimal() else 0
        if not 0 < length <= LARGEST:
            return self.answer(413, {"error": f"expected a body of 1 to {LARGEST} bytes, got {length}"})
        try:
            images = [
                np.asarray(Image.open(BytesIO(one)).convert("RGB"))
                for one in self.files(self.rfile.read(length))
            ]
            batch = np.stack(images)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            return self.answer(400, {"error": f"{type(error).__name__}: {error}"})
        try:
            scores = np.asarray(self.classifier(batch), np.float64)
        except Exception as error:  # noqa: BLE001 - told to whoever asked, who may try again
            return self.answer(500, {"error": f"{type(error).__name__}: {error}"})
        return self.answer(200, {"scores": scores.tolist()})

    def files(self, body: bytes) -> list[bytes]:
        """The files of the images, of JSON or of a form."""
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            form = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
            return [bytes(part.get_payload(decode=True)) for part in form.iter_parts()]
        return [base64.b64decode(one, validate=True) for one in json.loads(body)["images"]]

    def answer(self, status: int, document: dict[str, Any]) -> None:
        """One JSON answer."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's name
        """Quiet."""


def serve(handler: type[Handler], port: int) -> None:
    """Serve on this machine's loopback until Ctrl-C; prints the address."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "classifier", nargs="?", default="efficientnet-lite0", help="as occlumap.load takes it"
    )
    parser.add_argument("port", nargs="?", type=int, default=8000, help="0 for any that is free")
    given = parser.parse_args()
    # a plain function would become a method of the handler
    Handler.classifier = staticmethod(occlumap.load(given.classifier))
    serve(Handler, given.port)
