"""Runs releases on Kubernetes: a namespace for each app, a Deployment for each process type."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from gitreceive.cancellation import Cancellation
from gitreceive.config import Settings
from gitreceive.engines.kubernetes_target import (
    bound,
    claims,
    cron_runs,
    logs,
    once,
    one_offs,
    permissions,
    provisioning,
    reach,
    rollout,
)
from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.engines.kubernetes_target.networks import read_networks
from gitreceive.engines.kubernetes_target.statuses import release_of, statuses
from gitreceive.engines.kubernetes_target.watching import NamespaceWatch
from gitreceive.errors import ConflictError, GitreceiveError, RolloutError
from gitreceive.manifests import exposure, rendering
from gitreceive.manifests.exposure import URL_ANNOTATION
from gitreceive.manifests.rendering import (
    COMPONENT_LABEL,
    MANAGED_LABEL,
    MANAGER,
    OWNED,
    ClusterApi,
    PullCredentials,
)
from gitreceive.manifests.templating import Manifest
from gitreceive.model import (
    WEB_PROCESS,
    AppName,
    Check,
    CronRun,
    ImageRef,
    KindStatus,
    LogLine,
    LogQuery,
    OneOff,
    OneOffStatus,
    ProcessStatus,
    ProcessType,
    Release,
    ServiceOrder,
    ServiceStatus,
    Terminal,
    VolumeStatus,
    alone,
)
from gitreceive.ports import Attachment, CertificateSource, Log, Pipe
from gitreceive.ports.targets import no_certificates
from gitreceive.stories.one_offs import kept

_DESTROY_SECONDS = 60.0
_DESTROY_GRACE_SECONDS = 2
_DESTROY_PATIENCE_SECONDS = 4.0
_PUT_BACK_SECONDS = 60.0


class KubernetesTarget:
    """The Target on the cluster of the settings' context, or on the one that the server runs in.

    ``credentials`` gives user name and password of the registry, or None where it wants none; it is asked at every
    roll-out. Nothing is asked of the cluster before the first call.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Callable[[], tuple[str, str] | None],
        certificates: CertificateSource = no_certificates,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._certificates = certificates
        self._api = Api(settings.kubernetes.context)

    def roll_out(self, release: Release, log: Log, cancel: Cancellation) -> None:
        objects = self._objects(release)
        for note in exposure.notes(release, self._settings, self._api.facts().exposing):
            log.warn(note)
        namespace = self._namespace(release.app)
        with NamespaceWatch(self._api, namespace) as watch:  # it lists while the namespace is looked at
            rollout.claim_namespace(self._api, objects[0])
            cancel.raise_if_requested()
            bound.require_all(self._api, namespace, release)
            fitting = claims.fitted(self._api, namespace, objects)
            unreached = self._may_open_port and self.url(release.app) is None
            now, later = rollout.divided(fitting, release)
            applied = rollout.apply_release(self._api, now, watch)
            deadline = self._settings.kubernetes.deadline + release.startup_seconds
            rollout.await_healthy(self._api, watch, applied, log, cancel=cancel, deadline=deadline)
            for item in later:
                self._api.apply(item)
        if unreached or self._is_replaced(release):
            self._await_answer(release, log, cancel)
        try:
            rollout.remove_surplus(self._api, namespace, objects)
        except GitreceiveError as error:  # it is live; what is left over goes with the next release
            log.warn(f"what earlier releases left could not be removed: {error.message}")

    def put_back(self, failed: Release, previous: Release | None, log: Log) -> None:
        namespace = self._namespace(failed.app)
        found = self._api.get("Namespace", namespace)
        if found is None or (found["metadata"].get("labels") or {}).get(MANAGED_LABEL) != MANAGER:
            return  # the roll-out was refused before it began
        drop = [rendering.config_name(failed)]
        if previous is None:
            rollout.remove_surplus(self._api, namespace, (), drop)
            return
        objects = self._objects(previous)
        with NamespaceWatch(self._api, namespace) as watch:
            now, later = rollout.divided(claims.fitted(self._api, namespace, objects), previous)
            applied = rollout.apply_release(self._api, now, watch)
            try:
                rollout.await_healthy(
                    self._api, watch, applied, log, cancel=Cancellation(), deadline=_PUT_BACK_SECONDS
                )
                for item in later:
                    self._api.apply(item)
            finally:
                rollout.remove_surplus(self._api, namespace, objects, drop)
        if self._is_replaced(previous):
            self._await_answer(previous, log, Cancellation())

    def run_once(self, release: Release, process: ProcessType, log: Log, cancel: Cancellation) -> int:
        name = once.pod_name(release, process)
        objects = rendering.render_once(release, process, name, self._settings, self._pull(), self._facts())
        rollout.claim_namespace(self._api, objects[0])
        deadline = self._settings.kubernetes.deadline
        return once.run(self._api, objects, process, log, cancel=cancel, deadline=deadline)

    @contextmanager
    def attach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> Iterator[Attachment]:  # noqa: ARG002
        command = kept(asked.command) if asked.kept else asked.command
        objects = self._one_off(release, asked, command, attached=True)
        deadline = self._settings.kubernetes.deadline
        with one_offs.attach(self._api, objects, asked, cancel, deadline) as attachment:
            yield attachment

    def detach(self, release: Release, asked: OneOff, log: Log, cancel: Cancellation) -> None:  # noqa: ARG002
        objects = self._one_off(release, asked, asked.command, attached=False)
        one_offs.detach(self._api, objects, cancel, self._settings.kubernetes.deadline)

    def one_offs(self, app: AppName) -> tuple[OneOffStatus, ...]:
        return one_offs.listed(self._api, self._namespace(app))

    def remove_one_off(self, app: AppName, name: str) -> bool:
        return one_offs.remove(self._api, self._namespace(app), name)

    def end_one_off(self, app: AppName, name: str) -> None:
        """The cluster ends it: ``activeDeadlineSeconds`` of its pod."""

    @property
    def has_clock(self) -> bool:
        return True

    def cron_runs(self, app: AppName) -> tuple[CronRun, ...]:
        return cron_runs.cron_runs(self._api, self._namespace(app))

    @contextmanager
    def enter(
        self, app: AppName, instance: str, command: tuple[str, ...], terminal: Terminal | None, *, kept: bool
    ) -> Iterator[Attachment]:
        namespace = self._namespace(app)
        with one_offs.enter(self._api, namespace, instance, command, terminal, behind=kept) as attachment:
            yield attachment

    @contextmanager
    def connect(self, app: AppName, instance: str, port: int) -> Iterator[Pipe]:
        with one_offs.connect(self._api, self._namespace(app), instance, port) as pipe:
            yield pipe

    def url(self, app: AppName) -> str | None:
        service = self._api.get("Service", "web", self._namespace(app))
        if service is None:
            return None
        annotations = service["metadata"].get("annotations") or {}
        if URL_ANNOTATION in annotations:
            return str(annotations[URL_ANNOTATION])
        port = service["spec"]["ports"][0].get("nodePort") if service["spec"]["type"] == "NodePort" else None
        return f"http://{self._node_address()}:{port}" if port else None

    def running(self, app: AppName) -> int | None:
        found = self._api.list("Deployment", self._namespace(app), OWNED)["items"]
        found.sort(key=lambda item: (item["metadata"]["name"] != WEB_PROCESS, item["metadata"]["name"]))
        return next((number for item in found if (number := release_of(item))), None)

    def processes(self, app: AppName) -> tuple[ProcessStatus, ...]:
        namespace = self._namespace(app)
        with ThreadPoolExecutor(max_workers=3) as pool:
            ours = f"{OWNED},{COMPONENT_LABEL}"  # no pods of maintenance
            kinds = (("Deployment", ours), ("Pod", ours), ("Event", ""))
            lists = pool.map(lambda asked: self._api.list(asked[0], namespace, asked[1])["items"], kinds)
            deployments, pods, events = lists
        return statuses(deployments, pods, events, datetime.now(UTC))

    def logs(self, app: AppName, query: LogQuery) -> Iterator[LogLine]:
        namespace = self._namespace(app)
        if query.follow:
            return logs.PodFollower(self._api, namespace, query)
        return logs.history(self._api, namespace, query)

    def volumes(self, app: AppName) -> tuple[VolumeStatus, ...]:
        return claims.statuses(self._api, self._namespace(app))

    def remove_volume(self, app: AppName, name: str) -> bool:
        return claims.remove(self._api, self._namespace(app), name)

    def secret_names(self, app: AppName, secret: str) -> tuple[str, ...]:
        return bound.names(self._api, self._namespace(app), secret)

    def service_kinds(self) -> tuple[KindStatus, ...]:
        return provisioning.kinds(self._api, self._settings)

    def services(self, app: AppName) -> tuple[ServiceStatus, ...]:
        return provisioning.services(self._api, self._settings, app)

    def provision(self, app: AppName, order: ServiceOrder, log: Log, cancel: Cancellation) -> ServiceStatus:
        return provisioning.provision(self._api, self._settings, app, order, log, cancel)

    def remove_service(self, app: AppName, name: str, log: Log) -> bool:
        return provisioning.remove(self._api, self._settings, app, name, log)

    def destroy(self, app: AppName) -> None:
        """Raises ConflictError where the namespace is somebody else's, RolloutError where it is not gone in a minute."""
        namespace = self._namespace(app)
        found = self._api.get("Namespace", namespace)
        if found is None:
            return
        if (found["metadata"].get("labels") or {}).get(MANAGED_LABEL) != MANAGER:
            raise ConflictError(
                f"namespace {namespace} is not gitreceive's",
                hint="it is left alone; remove it by hand if it is to go",
            )
        self._api.delete("Namespace", namespace)
        # No pod is made in it any more, and nobody waits for what those there still have to say.
        self._delete_pods(namespace, grace=_DESTROY_GRACE_SECONDS)
        if not self._is_gone(namespace, _DESTROY_PATIENCE_SECONDS):
            # a node that is slow or away: its containers go when it sees to it
            self._delete_pods(namespace, grace=0)
            self._await_gone(namespace)

    def forget_images(self, images: Iterable[ImageRef]) -> None:
        """Nodes see to theirs themselves (kubelet, image garbage collection)."""

    def plan(self, release: Release) -> str:
        """For a current Kubernetes, without credentials; the content of config is hidden. Raises ConfigError."""
        return rendering.to_yaml(rendering.render(release, self._settings))

    def check(self) -> Iterable[Check]:
        return permissions.check(self._api, self._settings)

    def start(self) -> None:
        """Connect in the background, so that the first push does not wait for it. The cluster may be away: it is asked again."""
        threading.Thread(target=self._warm_up, name="kubernetes-connect", daemon=True).start()

    def stop(self) -> None:
        """Nothing lives on in the server: the cluster runs what it was told to."""

    @property
    def _may_open_port(self) -> bool:
        return self._settings.kubernetes.expose in {"auto", "nodeport"}

    def _is_replaced(self, release: Release) -> bool:
        """For a moment nobody answered: its web process was ended before the next began."""
        return bool(alone(release.settings.runtime.volumes, WEB_PROCESS))

    def _await_answer(self, release: Release, log: Log, cancel: Cancellation) -> None:
        """At a node port behind which nobody was. That it cannot be reached from here does not make the release a failure."""
        if not self._may_open_port or not release.answers:
            return
        app = release.app
        service = self._api.get("Service", "web", self._namespace(app)) or {}
        if URL_ANNOTATION in (service.get("metadata", {}).get("annotations") or {}):
            return  # a host: the controller's way, and the DNS's
        url = self.url(app)
        if url and not reach.await_answer(url, cancel):
            log.warn(f"{url} does not answer this server yet; see kubernetes.node_address if it stays so")

    def _one_off(
        self, release: Release, asked: OneOff, command: Sequence[str], *, attached: bool
    ) -> tuple[Manifest, ...]:
        objects = rendering.render_one_off(
            release, asked, command, self._settings, self._pull(), self._facts(), attached=attached
        )
        rollout.claim_namespace(self._api, objects[0])
        return objects

    def _warm_up(self) -> None:
        with suppress(GitreceiveError):
            self._api.facts()

    def _objects(self, release: Release) -> tuple[Manifest, ...]:
        named = release.settings.routing.certificates
        brought = {each: self._certificates(release.app, each) for each in named}
        return rendering.render(release, self._settings, self._facts(), self._pull(), brought)

    def _facts(self) -> ClusterApi:
        return replace(self._api.facts(), networks=read_networks(self._api, self._settings.kubernetes))

    def _namespace(self, app: AppName) -> str:
        return rendering.namespace(self._settings, app)

    def _pull(self) -> PullCredentials | None:
        found = self._credentials() if self._settings.kubernetes.pull_secret else None
        return PullCredentials(self._settings.registry.partition("/")[0], *found) if found else None

    def _node_address(self) -> str:
        if self._settings.kubernetes.node_address:
            return self._settings.kubernetes.node_address
        nodes: list[Manifest] = self._api.list("Node")["items"]
        for node in nodes:
            for address in node.get("status", {}).get("addresses", []):
                if address["type"] == "InternalIP":
                    return f"[{address['address']}]" if ":" in address["address"] else str(address["address"])
        raise RolloutError("no node of the cluster says its address", hint="set kubernetes.node_address")

    def _delete_pods(self, namespace: str, *, grace: int) -> None:
        for pod in self._api.list("Pod", namespace)["items"]:
            self._api.delete("Pod", pod["metadata"]["name"], namespace, grace=grace)

    def _is_gone(self, namespace: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._api.get("Namespace", namespace):
            if time.monotonic() > end:
                return False
            time.sleep(0.25)
        return True

    def _await_gone(self, namespace: str) -> None:
        if self._is_gone(namespace, _DESTROY_SECONDS):
            return
        found = self._api.get("Namespace", namespace) or {}
        conditions = found.get("status", {}).get("conditions") or []
        why = "; ".join(c.get("message", "") for c in conditions if c.get("status") == "True")
        raise RolloutError(
            f"namespace {namespace} is being removed but not gone after {_DESTROY_SECONDS:g} s: {why[:300]}",
            hint="try again; it goes once what is in it has gone",
        )
