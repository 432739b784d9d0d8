"""The example's server with faults, as a process of its own: python faulty_server.py PORT FAULT [FAULT ...].

Request i (from 0) has the fault i of the list, in turn: ok, slow, drop, 500, 429, garbage, short, 404.
"""

import importlib.util
import itertools
import sys
import threading
import time
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples/scoring_server.py"
spec = importlib.util.spec_from_file_location("scoring_server", EXAMPLE)
assert spec is not None
assert spec.loader is not None
scoring_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(scoring_server)


def classify(batch):
    """Shares of light in the four quarters, so that every region of an image counts."""
    height, width = batch.shape[1:3]
    quarters = [
        batch[:, r : r + height // 2, c : c + width // 2].mean(axis=(1, 2, 3)) / 255
        for r in (0, height // 2)
        for c in (0, width // 2)
    ]
    return np.stack(quarters, axis=1)


class Faulty(scoring_server.Handler):
    classifier = staticmethod(classify)
    faults = itertools.cycle(sys.argv[2:] or ["ok"])
    lock = threading.Lock()

    def do_POST(self):  # noqa: N802 - http.server's name
        with self.lock:
            fault = next(self.faults)
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
            return
        if fault == "slow":
            time.sleep(1.5)
        if fault in ("500", "429", "404"):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(int(fault), {"error": "on purpose"})
        elif fault == "garbage":
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b"<html>not what you asked for</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif fault == "short":
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200, {"scores": [[0.0, 0.0, 0.0, 0.0]] * 99})
        else:
            super().do_POST()


if __name__ == "__main__":
    scoring_server.serve(Faulty, int(sys.argv[1]))
