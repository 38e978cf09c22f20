"""What the server needs in a cluster, as a manifest."""

import pytest
import yaml

from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target.permissions import PERMISSIONS
from gitreceive.manifests.provisioning import declared
from tests.cli.conftest import Cli


def test_it_is_an_account_with_a_role_that_has_what_doctor_asks_for(cli: Cli) -> None:
    said = cli("permissions", "--namespace", "deploys", "--account", "git").ok().out
    space, account, role, binding = yaml.safe_load_all(said)
    assert (space["kind"], space["metadata"]["name"]) == ("Namespace", "deploys")
    assert (account["kind"], account["metadata"]["name"]) == ("ServiceAccount", "git")
    assert binding["roleRef"]["name"] == role["metadata"]["name"] == "deploys-git"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "git", "namespace": "deploys"}]
    granted = {
        (
            rule["apiGroups"][0],
            rule["resources"][0],
            tuple(rule["verbs"]),
            tuple(rule.get("resourceNames", ())),
        )
        for rule in role["rules"]
    }
    assert set(map(tuple, PERMISSIONS)) < granted
    assert {group for group, *_ in granted - set(map(tuple, PERMISSIONS))} >= {
        "postgresql.cnpg.io",
        "gateway.networking.k8s.io",
        "apiextensions.k8s.io",
        "route.openshift.io",
        *(kind.api.partition("/")[0] for kind in declared(Settings()).values()),
        "apps",  # statefulsets, which tell of some services whether they are ready
    }


def test_nothing_is_granted_by_a_wildcard_nor_what_would_grant_more(cli: Cli) -> None:
    (role,) = [
        each for each in cli("permissions", "--json").ok().json()["items"] if each["kind"] == "ClusterRole"
    ]
    for rule in role["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
        assert rule["apiGroups"] != ["rbac.authorization.k8s.io"]
        assert not [name for name in rule["resources"] if name.startswith("serviceaccounts/")]


def test_a_name_that_is_none_is_refused(cli: Cli) -> None:
    cli("permissions", "--account", "a: b").failed(2, "'a: b'", "a-z")


@pytest.mark.parametrize("acting", ["alice", "boss"])
def test_it_is_for_the_servers_own_host(cli: Cli, acting: str) -> None:
    cli("permissions", acting=acting).failed(5, "does not run over SSH")
