"""The files of a frozen set."""

import hashlib
from pathlib import Path

MANIFEST = "manifest.json"
FAIRNESS = "fairness.json"
SUMS = "SHA256SUMS"
FOLDER = "images"


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
