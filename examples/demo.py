"""Explain a real photograph with the embedded classifier, as the command line does; `make demo` runs this.

The photograph is Chelsea the cat by Stefan van der Walt (CC0), which comes with scikit-image. It is
explained with 300 classifier calls, some seconds on two cores.
"""

import shlex
from pathlib import Path

from PIL import Image
from skimage.data import chelsea

from occlumap.cli.main import run

if __name__ == "__main__":
    folder = Path("out/demo")
    folder.mkdir(parents=True, exist_ok=True)
    photo = folder / "photo.png"
    Image.fromarray(chelsea()).save(photo)
    arguments = [
        "explain",
        str(photo),
        "--classifier",
        "efficientnet-lite0",
        "--out",
        str(folder),
    ]
    print("$", shlex.join(["occlumap", *arguments]), flush=True)
    run(arguments)
