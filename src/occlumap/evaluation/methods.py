"""The table of all methods that the benchmark knows: ours, the peers and the controls."""

from dataclasses import dataclass
from importlib.util import find_spec

from occlumap.evaluation import controls
from occlumap.evaluation.peers import (
    Peer,
    captum_feature_ablation,
    captum_occlusion,
    hipe,
    hsic,
    joint,
    lime,
    paper,
    rex,
    rise,
    shap_kernel,
    shap_partition,
    single_scale,
    sobol,
    xaitk_rise,
)


@dataclass(frozen=True)
class Method:
    """A method by name. `fill`: what it hides with, a reference's name or a word of its own.

    `needs`: packages that must be there. `spends_calls`: whether a budget means anything to it.
    """

    name: str
    run: Peer
    fill: str
    needs: tuple[str, ...] = ()
    spends_calls: bool = True

    def missing(self) -> list[str]:
        """The packages it needs that are not installed."""
        return [package for package in self.needs if find_spec(package) is None]


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("joint", joint.joint, joint.FILL),
        Method("paper", paper.paper, paper.FILL),
        Method("single_scale", single_scale.single_scale, single_scale.FILL),
        Method("rise", rise.rise, rise.FILL),
        Method("rise_blurred", rise.rise_blurred, rise.FILL_BLURRED),
        Method("lime", lime.lime, lime.FILL, ("lime",)),
        Method("shap_partition", shap_partition.shap_partition, shap_partition.FILL, ("shap", "cv2")),
        Method("shap_kernel", shap_kernel.shap_kernel, shap_kernel.FILL, ("shap", "skimage")),
        Method("hipe", hipe.hipe, hipe.FILL),
        Method("sobol", sobol.sobol, sobol.FILL, ("scipy",)),
        Method("hsic", hsic.hsic, hsic.FILL),
        Method(
            "captum_occlusion",
            captum_occlusion.captum_occlusion,
            captum_occlusion.FILL,
            ("torch", "captum"),
        ),
        Method(
            "captum_feature_ablation",
            captum_feature_ablation.captum_feature_ablation,
            captum_feature_ablation.FILL,
            ("torch", "captum", "skimage"),
        ),
        Method("xaitk_rise", xaitk_rise.xaitk_rise, xaitk_rise.FILL, ("xaitk_saliency",)),
        Method("rex", rex.rex, rex.FILL, ("rex_xai",)),
        Method("random", controls.random, "", spends_calls=False),
        Method("centre", controls.centre, "", spends_calls=False),
        Method("constant", controls.constant, "", spends_calls=False),
        Method("edges", controls.edges, "", spends_calls=False),
    )
}
"""Every method by its name; put a method of yours in to judge it beside the others."""


def installed() -> tuple[str, ...]:
    """The names of the methods whose packages are there."""
    return tuple(name for name, method in METHODS.items() if not method.missing())
