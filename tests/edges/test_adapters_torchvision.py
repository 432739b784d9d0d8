"""torchvision's and timm's models with their own transforms, in a process of their own.

torchvision from a package index is built for torch with CUDA; beside a build for the CPU its compiled operators are
missing, which an image classifier does not need. The script leaves out what they register.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")

SCRIPT = """
import sys
import warnings
import torch

real = torch.library.register_fake
def register(*arguments, **options):
    inner = real(*arguments, **options)
    def where_there_is_one(function):
        try:
            return inner(function)
        except RuntimeError as error:
            if "does not exist" not in str(error):
                raise
            return function
    return where_there_is_one
torch.library.register_fake = register
warnings.simplefilter("ignore")
try:
    import torchvision, timm
except ImportError as error:
    print("missing:", error)
    sys.exit(0)

import numpy as np
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from occlumap import adapters, explain

torch.manual_seed(0)
photo = np.random.default_rng(0).integers(0, 256, (300, 260, 3), np.uint8)
weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
of_torchvision = torchvision.models.squeezenet1_1(weights=None, num_classes=7)
of_timm = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=7)
settings = resolve_model_data_config(of_timm)
for model, transform in (
    (of_torchvision, weights.transforms()),
    (of_timm, create_transform(**settings, is_training=False)),
):
    model.train()
    classifier = adapters.from_torch(model, transform=transform, output="logits", classes=list("abcdefg"))
    (row,) = classifier(photo[None])
    model.eval()
    with torch.no_grad():
        expected = torch.softmax(model(transform(Image.fromarray(photo))[None]).double(), dim=1)[0].numpy()
    np.testing.assert_allclose(row, expected, rtol=1e-5)
    model.train()
    found = explain(classifier, photo, target="c", budget=40)
    assert found.heatmap.shape == (300, 260) and np.isfinite(found.heatmap).all() and found.heatmap.std() > 0
    assert model.training
print("both agree")
"""


def test_models_of_torchvision_and_timm_with_their_own_transforms():
    folders = [os.environ.get("OCCLUMAP_TORCHVISION", ""), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(one for one in folders if one)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.stdout.startswith("missing:"):
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    assert "both agree" in done.stdout
