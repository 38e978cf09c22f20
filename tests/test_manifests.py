"""Releases as Kubernetes objects, without a cluster."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitreceive.config import KubernetesSettings, Settings, bundled
from gitreceive.errors import ConfigError
from gitreceive.manifests import rendering
from gitreceive.manifests.rendering import (
    ClusterApi,
    PullCredentials,
    render,
    render_once,
    to_yaml,
)
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    AppName,
    AppSettings,
    CommitId,
    CronEntry,
    CronTask,
    Declared,
    Digest,
    Formation,
    Image,
    ImageRef,
    ProcessType,
    Release,
    Runtime,
    Schedule,
    Secret,
    UserName,
    Volume,
)

GOLDEN = Path(__file__).parent / "golden" / "kubernetes"

WEB = ProcessType("web", ("gunicorn", "--bind", "0.0.0.0:8080", "app:app"))
WORKER = ProcessType("worker", ("python", "worker.py"))


def a_release(**changes: Any) -> Release:
    image = Image(
        ref=ImageRef("127.0.0.1:5000/shop", Digest("sha256:" + "ab" * 32)),
        processes=(WEB, WORKER, ProcessType("release", ("python", "migrate.py"))),
        port=None,
        buildpacks=("gitreceive/python@1",),
    )
    plain = Release(
        app=AppName("shop"),
        number=3,
        image=image,
        commit=CommitId("c0ffee" + "0" * 34),
        config={"GREETING": Secret("hello")},
        user=UserName("anna"),
        description="push of main",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        settings=AppSettings(formation=Formation(scale={"web": 2})),
    )
    return replace(plain, **changes)


def by_kind(objects: tuple[Manifest, ...]) -> Mapping[str, Manifest]:
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in objects}


def config_of(objects: tuple[Manifest, ...]) -> dict[str, str]:
    secret = next(item for item in objects if item["metadata"]["name"].startswith("config-"))
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def with_kubernetes(**settings: Any) -> Settings:
    return Settings(kubernetes=KubernetesSettings(**settings))


CASES = {
    "current": (a_release(), Settings(), ClusterApi(), None),
    "old_cluster": (a_release(), Settings(), ClusterApi("policy/v1beta1", sleep_action=False), None),
    "ingress_and_pull_secret": (
        a_release(),
        replace(with_kubernetes(expose="ingress", ingress_class="nginx"), domain="apps.example.com"),
        ClusterApi(),
        PullCredentials("registry.example.com", "puller", "s3cret"),
    ),
    "volumes": (
        a_release(
            settings=AppSettings(
                runtime=Runtime(
                    volumes={
                        "uploads": Volume("/data", size="5Gi"),
                        "shared": Volume("/srv/shared", ("web", "worker"), shared=True),
                    },
                    secrets={"shop-postgres": "PG_"},
                )
            )
        ),
        with_kubernetes(storage_class="fast"),
        ClusterApi(),
        None,
    ),
    "dockerfile": (
        a_release(
            image=replace(
                a_release().image, processes=(ProcessType("web"),), port=3000, buildpacks=("dockerfile",)
            ),
            settings=AppSettings(),
        ),
        with_kubernetes(expose="none"),
        ClusterApi(),
        None,
    ),
    "cron": (
        a_release(
            image=replace(a_release().image, processes=()),
            declared=Declared(cron=(CronTask("0 3 * * 7", "python clean.py $HOME"),)),
            settings=AppSettings(
                schedule=Schedule({"report": CronEntry("report", "@daily", "make report", "replace", 90)})
            ),
        ),
        Settings(),
        ClusterApi(),
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_what_was_agreed_on(case: str) -> None:
    release, settings, cluster, pull = CASES[case]
    assert to_yaml(render(release, settings, cluster, pull)) == (GOLDEN / f"{case}.yaml").read_text()


def test_a_pod_that_runs_once_is_what_was_agreed_on() -> None:
    process = ProcessType("release", ("sh", "-c", "echo $(PORT) $HOME"))
    objects = render_once(a_release(), process, "release-v3-abcdef", Settings())
    assert to_yaml(objects) == (GOLDEN / "once.yaml").read_text()


def cron_of(release: Release, cluster: ClusterApi | None = None) -> Manifest:
    return next(i for i in render(release, Settings(), cluster) if i["kind"] == "CronJob")


def test_all_of_an_apps_pods_are_of_the_runtime_class_that_is_set() -> None:
    chosen = with_kubernetes(runtime_class="gvisor")
    objects = (
        *render(CASES["cron"][0], chosen),
        *render(a_release(), chosen),
        *render_once(a_release(), WEB, "once", chosen),
    )
    assert to_yaml(objects).count("runtimeClassName: gvisor") == sum(
        item["kind"] in {"Deployment", "CronJob", "Pod"} for item in objects
    )
    assert "runtimeClassName" not in to_yaml(render(a_release(), Settings()))


def test_what_runs_by_the_clock_is_said_as_an_old_cluster_knows_it() -> None:
    made = cron_of(CASES["cron"][0], ClusterApi(cron_api="batch/v1beta1", time_zones=False))
    assert made["apiVersion"] == "batch/v1beta1"
    assert "timeZone" not in made["spec"]


def test_nothing_of_a_stopped_app_runs_by_the_clock() -> None:
    release = CASES["cron"][0]
    settings = replace(release.settings, formation=Formation(stopped=True))
    assert cron_of(release)["spec"]["suspend"] is False
    assert cron_of(replace(release, settings=settings))["spec"]["suspend"] is True


def test_a_pod_by_the_clock_is_confined_as_one_that_runs_once_is() -> None:
    """The same image, config, rights and limits."""
    entry = CronEntry("a", "@daily", "x")
    release = a_release(settings=AppSettings(schedule=Schedule({"a": entry})))
    by_clock = cron_of(release)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    by_hand = render_once(release, ProcessType("cron"), "a", Settings())[-1]["spec"]
    differing = {"containers", "activeDeadlineSeconds"}
    assert {k: v for k, v in by_clock.items() if k not in differing} == {
        k: v for k, v in by_hand.items() if k not in differing
    }
    (one,), (other,) = by_clock["containers"], by_hand["containers"]
    assert one.pop("command") == ["/cnb/lifecycle/launcher", "x"]
    assert one == other


HOSTILE = [
    "no",
    "Off",
    "~",
    "null",
    "1e3",
    "0777",
    "0x1F",
    "1_000",
    "12:30:45",
    "2026-01-02",
    "=",
    "<<",
    "*alias",
    "&anchor",
    "!!python/object/apply:os.system ['id']",
    "two\nlines\n",
    "\ttab",
    "trailing ",
    "\"double\" 'single' \\back",
    "{{7*7}}",
    "{% raw %}",
    "{# gone #}",
    "---\nkind: Pod",
    "...",
    "$(OTHER) $$ ${X}",
    "# comment",
    "a: b",
    "- item",
    "@at `tick` %directive",
    "\x00\x01\x1b[31m\x7f",
    "\x85\u2028\u2029\ufeff\ufffe",
    "Zoë 🚀 日本",
    "",
    "x" * 4000,
]


_NAMES = st.sampled_from(["NO", "y", "null", "_", "e1"]) | st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,9}\Z")
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@settings(deadline=None)
@given(st.dictionaries(_NAMES, _TEXTS, min_size=1))
@example({"NO": "\u04cd4"})  # in base64 a number of YAML
def test_any_config_is_in_the_secret_to_the_byte(config: dict[str, str]) -> None:
    got = render(a_release(config={name: Secret(value) for name, value in config.items()}), Settings())
    assert config_of(got) == config


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_config_value_arrives_as_it_is_and_changes_nothing_else(value: str) -> None:
    expected = by_kind(render(a_release(), Settings()))
    got = render(a_release(config={"GREETING": Secret(value)}), Settings())
    assert config_of(got) == {"GREETING": value}
    assert [name.split("-")[0] for name in by_kind(got)] == [name.split("-")[0] for name in expected]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_description_and_command_arrive_as_they_are(value: str) -> None:
    image = replace(a_release().image, processes=(ProcessType("web", ("run", value)),))
    got = by_kind(render(a_release(description=value[:1000], image=image), Settings()))["Deployment/web"]
    assert got["metadata"]["annotations"]["gitreceive/description"] == value[:1000]
    container = got["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["run", value.replace("$", "$$")]


@pytest.mark.parametrize("value", [value for value in HOSTILE if value.strip() and "\0" not in value])
def test_a_hostile_line_for_the_clock_arrives_as_it_is(value: str) -> None:
    entry = CronEntry("a", "@daily", value)
    made = cron_of(a_release(settings=AppSettings(schedule=Schedule({"a": entry}))))
    pod = made["spec"]["jobTemplate"]["spec"]["template"]
    assert pod["spec"]["containers"][0]["command"][-1] == value.replace("$", "$$")
    assert pod["metadata"]["annotations"]["gitreceive/command"] == value[:1000]


def test_a_plan_does_not_show_config_values() -> None:
    shown = to_yaml(
        render(
            a_release(config={"KEY": Secret("hunter2")}),
            Settings(),
            pull=PullCredentials("r", "user", "hunter3"),
        )
    )
    for secret in ("hunter2", "hunter3"):
        assert secret not in shown
        assert base64.b64encode(secret.encode()).decode() not in shown
    assert "KEY: '***'" in shown


def test_releases_with_equal_config_share_its_secret_and_others_do_not() -> None:
    first = rendering.config_name(a_release())
    assert first.startswith("config-")
    assert rendering.config_name(a_release(number=4)) == first
    assert rendering.config_name(a_release(config={"GREETING": Secret("bye")})) != first
    assert rendering.config_name(a_release(config={"GREETINGS": Secret("hello")})) != first


def test_the_secret_of_releases_with_equal_config_is_the_same_to_the_last_byte() -> None:
    """The second to be applied changes nothing of it."""
    first, fourth = (by_kind(render(a_release(number=n), Settings())) for n in (3, 4))
    name = f"Secret/{rendering.config_name(a_release())}"
    assert first[name] == fourth[name]


def test_an_operators_template_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    folder = tmp_path / "kubernetes"
    folder.mkdir()
    text = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {{ namespace }}\n  labels: {team: blue}\n"
    (folder / "namespace.yaml.j2").write_text(text)
    objects = render(a_release(), Settings(templates=str(tmp_path)))
    assert objects[0]["metadata"]["labels"] == {"team": "blue"}
    assert by_kind(objects)["Deployment/web"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("metadata: {name: {{ nmae }}}", "'nmae' is undefined"),
        ("kind: Pod\napiVersion: v1\nmetadata: {name: x}", "must make a Namespace"),
        ("a: 1\n---\nb: 2", "must make one object"),
        ("a: [", "node content"),
        ("kind: Namespace\nkind: Namespace", "written twice"),
        ("kind: {% if %}", "Expected an expression"),
        ("kind: Namespace\napiVersion: v1\nmetadata: {name: kube-system}", "not into the app's namespace"),
        ("kind: Namespace\napiVersion: v1\nmetadata: {name: x-{{ namespace }}}", "with the name"),
        ("kind: Namespace\napiVersion: v1\nmetadata: {name: {{ namespace }}, labels: {{ 1.5 }}}", "float"),
    ],
)
def test_a_broken_template_is_named_and_applies_nothing(tmp_path: Path, text: str, why: str) -> None:
    folder = tmp_path / "kubernetes"
    folder.mkdir()
    (folder / "namespace.yaml.j2").write_text(text)
    with pytest.raises(ConfigError) as error:
        render(a_release(), Settings(templates=str(tmp_path)))
    assert why in error.value.message


def test_an_ingress_without_a_domain_is_refused() -> None:
    with pytest.raises(ConfigError, match="shop has no host"):
        render(a_release(), with_kubernetes(expose="ingress"))


def test_a_prefix_that_makes_no_namespace_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot name a namespace"):
        render(a_release(), with_kubernetes(namespace_prefix="Team_"))


def test_only_processes_that_keep_running_are_deployed() -> None:
    names = by_kind(render(a_release(), Settings()))
    assert {name for name in names if name.startswith("Deployment/")} == {
        "Deployment/web",
        "Deployment/worker",
    }


def test_every_bundled_template_is_plain_yaml_with_values_only() -> None:
    folder = bundled("templates") / "kubernetes"
    for path in folder.glob("*.yaml.j2"):
        assert "{%" not in path.read_text(), path.name
    assert yaml.safe_load((GOLDEN / "once.yaml").read_text().split("---")[1])["kind"] == "Namespace"


def test_an_app_without_config_has_no_secret_to_wait_for() -> None:
    objects = render(replace(a_release(), config={}), Settings())
    assert "Secret" not in {item["kind"] for item in objects}
    deployment = next(item for item in objects if item["kind"] == "Deployment")
    assert "envFrom" not in deployment["spec"]["template"]["spec"]["containers"][0]
