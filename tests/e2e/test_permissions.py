"""What the server may do in the cluster is what ``gitreceive permissions`` prints: all of it, and no more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from tests.e2e.world import Server

pytestmark = [pytest.mark.e2e, pytest.mark.kubernetes]


@pytest.fixture
def may(kubeconfig: Path) -> Iterator[Any]:
    untyped: Any = kubernetes
    with untyped.config.new_client_from_config(str(kubeconfig)) as client:
        api = untyped.client.AuthorizationV1Api(client)

        def ask(verb: str, resource: str, group: str = "", namespace: str = "default") -> bool:
            name, _, subresource = resource.partition("/")
            attributes = {
                "verb": verb,
                "resource": name,
                "subresource": subresource,
                "group": group,
                "namespace": namespace,
            }
            review = api.create_self_subject_access_review({"spec": {"resourceAttributes": attributes}})
            return bool(review.status.allowed)

        yield ask


@pytest.mark.parametrize("server", ["kubernetes"], indirect=True)
def test_doctor_finds_all_that_it_needs(server: Server) -> None:
    """Other parts of doctor may complain of other tests' apps; it is asked of the account that runs the server."""
    checks = {check["name"]: check for check in server.cli("doctor", "--json").json()}
    assert checks["cluster permissions"]["ok"], checks
    assert str(server.env["KUBECONFIG"]) != ""


def test_the_account_may_do_nothing_that_is_not_in_the_manifest(may: Any) -> None:
    rbac = "rbac.authorization.k8s.io"
    assert may("create", "namespaces")
    assert may("delete", "deployments", "apps")
    for verb, resource, group in (
        ("create", "clusterrolebindings", rbac),
        ("create", "rolebindings", rbac),
        ("update", "clusterroles", rbac),
        ("impersonate", "users", ""),
        ("create", "serviceaccounts/token", ""),
        ("patch", "nodes", ""),
        ("get", "nodes", ""),
        ("get", "nodes/proxy", ""),
        ("list", "namespaces", ""),
        ("create", "daemonsets", "apps"),
        ("get", "endpoints", ""),
        ("create", "persistentvolumes", ""),
        ("create", "mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
    ):
        assert not may(verb, resource, group), (verb, resource)
