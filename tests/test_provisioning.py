"""Kinds of services as files, and what is asked of an operator, without a cluster."""

from base64 import b64decode
from pathlib import Path

import pytest

from gitreceive.config import KubernetesSettings, Settings
from gitreceive.errors import ConfigError, UsageError
from gitreceive.manifests.provisioning import declared, render_service
from gitreceive.manifests.rendering import MANAGED_LABEL, render, to_yaml
from gitreceive.model import (
    AppName,
    AppSettings,
    Runtime,
    Secret,
    SecretKey,
    ServiceKind,
    ServiceOrder,
    filled,
    parse_service_name,
)
from tests.test_manifests import a_release

GOLDEN = Path(__file__).parent / "golden" / "services"
SHOP = AppName("shop")
KINDS = ("mariadb", "postgresql", "postgresql-crunchy", "rabbitmq", "redis")
_OWN = """
title = "Search"
operator = "ECK"
install = "https://www.elastic.co/"
api = "elasticsearch.k8s.elastic.co/v1"
kind = "Elasticsearch"
resource = "elasticsearches"
secret = "{name}-es"
[ready]
path = "status.health"
equals = "green"
[variables]
SEARCH_URL = "url"
"""
_OWN_TEMPLATE = """
apiVersion: elasticsearch.k8s.elastic.co/v1
kind: Elasticsearch
metadata: {name: {{ name }}, namespace: {{ namespace }}, labels: {{ labels }}}
spec: {version: {{ version }}}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "templates" / "services"
    folder.mkdir(parents=True)
    return folder


def settings_with(own: Path) -> Settings:
    return Settings(templates=str(own.parent))


def test_the_bundled_kinds_are_all_tried_here() -> None:
    assert tuple(declared(Settings())) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_operator_is_asked_for_is_what_was_agreed_on(kind: str) -> None:
    given = Settings(kubernetes=KubernetesSettings(storage_class="fast"))
    order = ServiceOrder(kind, "db", "5Gi", "16")
    made = render_service(SHOP, order, declared(given)[kind], given)
    assert to_yaml([made.service]) == (GOLDEN / f"{kind}.yaml").read_text()
    assert made.namespace["metadata"]["name"] == "app-shop"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_asked_for_is_left_to_the_operator(kind: str) -> None:
    """Whose own labels these would become: what is gitreceive's goes with the next release."""
    made = render_service(SHOP, ServiceOrder(kind, "db"), declared(Settings())[kind], Settings())
    text = to_yaml([made.service])
    assert MANAGED_LABEL not in text
    assert "storageClass" not in text
    assert "null" not in text


def test_a_login_is_made_of_one_password_that_nobody_has_seen() -> None:
    kind = declared(Settings())["redis"]
    first, second = (render_service(SHOP, ServiceOrder("redis", "cache"), kind, Settings()) for _ in range(2))
    assert first.login
    assert second.login
    assert first.service == second.service
    content = {key: b64decode(value).decode() for key, value in first.login["data"].items()}
    assert content["url"] == f"redis://:{content['password']}@cache.app-shop.svc:6379/0"
    assert first.login["data"]["password"] != second.login["data"]["password"]
    assert content["password"] not in to_yaml([first.service, first.login])
    assert MANAGED_LABEL not in first.login["metadata"]["labels"]


def test_files_in_the_settings_folder_add_a_kind_and_take_the_place_of_another(own: Path) -> None:
    own.joinpath("search.toml").write_text(_OWN)
    own.joinpath("search.yaml.j2").write_text(_OWN_TEMPLATE)
    bundled = Path(__file__).parents[1] / "templates" / "services" / "postgresql.yaml.j2"
    changed = bundled.read_text().replace("instances: 1", "instances: 3")
    own.joinpath("postgresql.yaml.j2").write_text(changed)
    given = settings_with(own)
    kinds = declared(given)
    assert sorted(kinds) == sorted((*KINDS, "search"))
    assert kinds["search"].keys("s", "X_") == {"X_SEARCH_URL": SecretKey("s-es", "url")}
    search = render_service(SHOP, ServiceOrder("search", "s", None, "8.1"), kinds["search"], given)
    assert (search.service["spec"], search.login) == ({"version": "8.1"}, None)
    database = render_service(SHOP, ServiceOrder("postgresql", "db"), kinds["postgresql"], given)
    assert database.service["spec"]["instances"] == 3


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ('title = "Search"\n', "", "services/search.toml: the declaration of search lacks title"),
        ('"Search"', "7", "services/search.toml: title must be text"),
        ("title =", "titel =", "services/search.toml: the declaration of search has no 'titel'"),
        ("co/v1", "co", "services/search.toml: api is 'elasticsearch.k8s.elastic.co'"),
        ('equals = "green"', "", "services/search.toml: ready must say when"),
        ('equals = "green"', 'condition = "Ready"', "services/search.toml: ready must say when"),
        ('equals = "green"', 'equals = "x"\nname = "y"', "ready.resource is GROUP/VERSION/PLURAL"),
        ('SEARCH_URL = "url"', 'PORT = "url"', "PORT is given to every process"),
        ('SEARCH_URL = "url"', "", "variables names none"),
        ('SEARCH_URL = "url"', 'U = "url"\n[login]\nurl = "{word}"', "'{word}' names {word}"),
        ("[ready]", "[ready", "services/search.toml: "),
    ],
)
def test_a_declaration_that_is_broken_is_refused_by_its_file(
    own: Path, before: str, after: str, text: str
) -> None:
    own.joinpath("search.toml").write_text(_OWN.replace(before, after, 1))
    with pytest.raises(ConfigError) as refused:
        declared(settings_with(own))
    assert text in refused.value.message


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("{{ namespace }}", "default", "not into the app's namespace 'app-shop'"),
        ("{{ name }}", "other", "with the name and the labels that it is given"),
        (", labels: {{ labels }}", "", "with the name and the labels that it is given"),
        ("co/v1\n", "co/v2\n", "must make a Elasticsearch of elasticsearch.k8s.elastic.co/v1"),
        ("kind: Elasticsearch", "kind: Secret", "template services/search.yaml.j2 must make a Elasticsearch"),
        ("{{ version }}", "{{ verzion }}", "template services/search.yaml.j2: 'verzion' is undefined"),
    ],
)
def test_a_template_that_makes_something_else_is_refused_by_its_file(
    own: Path, before: str, after: str, text: str
) -> None:
    own.joinpath("search.toml").write_text(_OWN)
    own.joinpath("search.yaml.j2").write_text(_OWN_TEMPLATE.replace(before, after, 1))
    given = settings_with(own)
    with pytest.raises(ConfigError) as refused:
        render_service(SHOP, ServiceOrder("search", "s"), declared(given)["search"], given)
    assert text in refused.value.message


@pytest.mark.parametrize(
    "name", ["web", "registry", "config-1", "tls-auto", "Db", "1db", "d_b", "a" * 41, "../x"]
)
def test_a_name_that_would_take_the_place_of_the_apps_own_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        parse_service_name(name)


def test_what_is_not_known_is_filled_in_nowhere() -> None:
    assert filled("{name}-app", {"name": "{name}"}) == "{name}-app"
    with pytest.raises(UsageError, match=r"names \{__class__\}"):
        filled("{__class__}", {"name": "x"})
    assert filled("{name.__class__}", {"name": "x"}) == "{name.__class__}"


def test_a_value_of_a_secret_is_one_variable_of_every_process_unless_the_app_has_its_own() -> None:
    bound = Runtime(secret_keys={name: SecretKey("db-app", "uri") for name in ("DATABASE_URL", "OWN")})
    assert Runtime.parse(bound.document()) == bound
    release = a_release(settings=AppSettings(runtime=bound), config={"OWN": Secret("x")})
    place = {"secretKeyRef": {"name": "db-app", "key": "uri"}}
    found = [item for item in render(release, Settings()) if item["kind"] == "Deployment"]
    assert len(found) == 2
    for deployment in found:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"name": "DATABASE_URL", "valueFrom": place} in container["env"]
        assert "OWN" not in {each["name"] for each in container["env"]}


def test_a_kind_is_ready_in_its_time_by_default() -> None:
    kind: ServiceKind = declared(Settings())["postgresql"]
    assert (kind.deadline, kind.path) == (600, "postgresql.cnpg.io/v1/clusters")
