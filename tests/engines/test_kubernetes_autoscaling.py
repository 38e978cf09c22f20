"""Whose replicas are, without a cluster."""

from typing import Any, cast

import pytest

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.autoscaling import Scaler, hand_over
from gitreceive.manifests.rendering import MANAGER
from gitreceive.manifests.templating import Manifest


class _Notes:
    """What is asked of the cluster."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def delete(self, *words: Any) -> None:
        self.asked.append(("delete", *words))

    def take_replicas(self, *words: Any) -> None:
        self.asked.append(("take", *words))


def wanted(replicas: int) -> Manifest:
    return {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": replicas}}


def live(replicas: int, owner: str = MANAGER) -> dict[str, Manifest]:
    fields = {"fieldsV1": {"f:spec": {"f:replicas": {}}}, "manager": owner, "operation": "Apply"}
    return {"web": {"metadata": {"managedFields": [fields]}, "spec": {"replicas": replicas}}}


OURS = {
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "web"},
    "spec": {"minReplicas": 2, "maxReplicas": 4},
}
THEIRS = Scaler("theirs", "web", ours=False)
LEFT = Scaler("web", "web", ours=True)


def handed(
    deployment: Manifest, there: dict[str, Manifest], *scalers: Scaler, ours: bool = False
) -> tuple[int | None, list[tuple[Any, ...]]]:
    notes = _Notes()
    hand_over(cast("Api", notes), "app-shop", [deployment, *([OURS] if ours else [])], there, scalers)
    return deployment["spec"].get("replicas"), notes.asked


@pytest.mark.parametrize(
    ("count", "owner", "sent"),
    [
        (3, MANAGER, 3),  # still ours: sent once more, or it would be reset
        (1, MANAGER, 2),
        (9, MANAGER, 4),
        (3, "kube-controller-manager", None),
        (0, MANAGER, 2),  # it was stopped: an autoscaler touches no 0
    ],
)
def test_our_autoscaler_keeps_what_it_chose(count: int, owner: str, sent: int | None) -> None:
    assert handed(wanted(2), live(count, owner), LEFT, ours=True) == (sent, [])


def test_a_new_app_begins_with_what_was_asked_for() -> None:
    assert handed(wanted(2), {}, ours=True) == (2, [])


def test_what_is_stopped_stops_though_somebodys_autoscaler_is_there() -> None:
    assert handed(wanted(0), live(3), THEIRS) == (0, [])
    assert handed(wanted(1), live(3, "hpa"), THEIRS) == (None, [])


def test_an_autoscaler_that_goes_gives_its_number_back_before_it_is_applied() -> None:
    replicas, asked = handed(wanted(3), live(4, "kube-controller-manager"), LEFT)
    assert replicas == 3
    assert asked == [
        ("delete", "HorizontalPodAutoscaler", "web", "app-shop"),
        ("take", "web", "app-shop", 3),
    ]


def test_without_an_autoscaler_replicas_are_sent() -> None:
    assert handed(wanted(2), live(5)) == (2, [])
