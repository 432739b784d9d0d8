"""The other methods, one file each, each a function (image, classifier, target, calls, seed) -> heatmap.

`image`: uint8 (H, W, 3). `calls`: images that may reach the classifier at most. The heatmap is float32
(H, W), higher = speaks more for the class, in the method's own units. A peer whose method has a library of
its own is run through it; the others are written from their papers. Heavy libraries are imported when a
peer is called.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from occlumap.classifiers import Classifier
from occlumap.fills import Image

Heatmap = NDArray[np.float32]
Peer = Callable[[Image, Classifier, int, int, int], Heatmap]
