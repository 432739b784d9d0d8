"""The files of a frozen set."""

MANIFEST = "manifest.json"
FAIRNESS = "fairness.json"
SUMS = "SHA256SUMS"
FOLDER = "images"
