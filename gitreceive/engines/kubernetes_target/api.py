"""The cluster's API as plain values. None of the exceptions of ``kubernetes`` leaves here."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from gitreceive.engines.kubernetes_target.channels import PROTOCOL, Channels
from gitreceive.engines.kubernetes_target.connection import connect
from gitreceive.engines.kubernetes_target.refusals import (
    BusyError,
    MissingError,
    ThereAlreadyError,
    UnauthorizedError,
    refusal,
    translated,
)
from gitreceive.engines.kubernetes_target.streams import LineStream
from gitreceive.engines.kubernetes_target.ways import ways
from gitreceive.errors import RolloutError, UnavailableError
from gitreceive.manifests.exposure import Exposing
from gitreceive.manifests.rendering import MANAGER, ClusterApi
from gitreceive.manifests.templating import Manifest
from gitreceive.patience import Patience, within

T = TypeVar("T")

_TIMEOUT = (5.0, 20.0)  # seconds to connect, and between two bytes of an answer
_WHOLE_SECONDS = 40.0  # for an answer that is no stream
_ENOUGH_SECONDS = 60.0  # after which no further attempt begins
_APPLY, _STRATEGIC = "application/apply-patch+yaml", "application/strategic-merge-patch+json"
_MARK = "gitreceive/made"
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_FACTS_SECONDS = 300.0  # after which a cluster may have been upgraded
_API_VERSIONS = {
    "Namespace": "v1",
    "Node": "v1",
    "Pod": "v1",
    "Event": "v1",
    "Secret": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
    "PersistentVolumeClaim": "v1",
    "Endpoints": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "SelfSubjectAccessReview": "authorization.k8s.io/v1",
}
# Newest first; the first that the cluster serves is spoken.
_BY_DISCOVERY = {
    "PodDisruptionBudget": ("policy/v1", "policy/v1beta1"),
    "Ingress": ("networking.k8s.io/v1", "networking.k8s.io/v1beta1"),
    "IngressClass": ("networking.k8s.io/v1", "networking.k8s.io/v1beta1"),
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"),
    "Route": ("route.openshift.io/v1",),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "autoscaling/v2beta2"),
    "RuntimeClass": ("node.k8s.io/v1", "node.k8s.io/v1beta1"),
}
_CRON_SINCE = (1, 21)  # batch/v1 is older, and had no CronJob before


class Api:
    """Connects at the first call. Thread-safe; every call has a timeout.

    A kind is one that the client library finds by its name, or what others serve, as GROUP/VERSION/PLURAL: always in a namespace.

    Raises UnavailableError where the cluster does not answer, RolloutError with its words where it refuses, and
    ConfigError where there is nothing to connect to.
    """

    def __init__(self, context: str = "", patience: Patience | None = None) -> None:
        self._context = context
        self._patience = patience or Patience()
        self._lock = threading.RLock()
        self._client: Any = None
        self._served: frozenset[str] = frozenset()
        self._version: Manifest = {}
        self._asked_at = 0.0
        self._exposing: Exposing | None = None

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """None where there is no such object."""
        return self._call("GET", self._path(kind, name, namespace), missing_is_none=True)

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> Manifest:
        """The list object: ``items`` and, in its metadata, the ``resourceVersion`` to watch from."""
        query = {"labelSelector": selector} if selector else {}
        found = self._call("GET", self._path(kind, None, namespace), query)
        assert found is not None
        return found

    def apply(self, item: Manifest, kind: str = "") -> Manifest:
        """Server-side apply. Raises RolloutError naming field and manager where another manager owns a field."""
        metadata = item["metadata"]
        path = self._path(kind or item["kind"], metadata["name"], metadata.get("namespace"))
        done = self._call("PATCH", path, {"fieldManager": MANAGER, "force": "false"}, item)
        assert done is not None
        return done

    def take_replicas(self, name: str, namespace: str, replicas: int | None) -> None:
        """Own that one field of a Deployment, whoever owned it, until it is called with None: then whoever applied it since has it alone."""
        body: Manifest = {
            "apiVersion": self.api_version("Deployment"),
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
        }
        if replicas is not None:
            body["spec"] = {"replicas": replicas}
        query = {"fieldManager": f"{MANAGER}-scale", "force": "true"}
        self._call("PATCH", self._path("Deployment", name, namespace), query, body)

    def drop_probes(self, item: Manifest) -> None:
        """Take the probes away that a Deployment has and ``item`` has not. Clusters before 1.22 keep an empty one where it is only left
        out, and refuse that.
        """
        pod = item["spec"]["template"]["spec"]
        gone = [
            {"name": one["name"], **{probe: None for probe in _PROBES if probe not in one}}
            for one in pod["containers"]
        ]
        self.merge(item, {"spec": {"template": {"spec": {"containers": gone}}}})

    def merge(self, item: Manifest, change: Manifest, owner: str = MANAGER) -> None:
        """Change the live object of ``item`` by a strategic merge: null removes a field, and ``owner`` has those that are set."""
        metadata = item["metadata"]
        path = self._path(item["kind"], metadata["name"], metadata["namespace"])
        self._call("PATCH", path, {"fieldManager": owner}, change, patch=_STRATEGIC)

    def create(self, item: Manifest) -> Manifest:
        """Asked again where the answer was lost: what is there by then, with this call's mark, is what it has made. What has no name is a
        question, of which the cluster keeps nothing and takes no marks.
        """
        metadata, mark = item["metadata"], secrets.token_hex(8)
        path = self._path(item["kind"], None, metadata.get("namespace"))
        if "name" not in metadata:
            answer = self._call("POST", path, {"fieldManager": MANAGER}, item)
            assert answer is not None
            return answer
        marked = metadata | {"annotations": {**(metadata.get("annotations") or {}), _MARK: mark}}
        try:
            done = self._call("POST", path, {"fieldManager": MANAGER}, {**item, "metadata": marked})
        except ThereAlreadyError:
            done = self.get(item["kind"], metadata["name"], metadata.get("namespace"))
            if done is None or (done["metadata"].get("annotations") or {}).get(_MARK) != mark:
                raise
        assert done is not None
        return done

    def delete(self, kind: str, name: str, namespace: str | None = None, *, grace: int | None = None) -> None:
        """In the background, dependents first unseen; no error where there is no such object."""
        query: dict[str, str] = {"propagationPolicy": "Background"}
        if grace is not None:
            query["gracePeriodSeconds"] = str(grace)
        self._call("DELETE", self._path(kind, name, namespace), query, missing_is_none=True)

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], *, silence: float = 60.0) -> Iterator[LineStream]:
        """The lines of an answer as they come. ``silence``: seconds without a byte after which it ends."""
        lines = self.open(path, query, silence=silence)
        try:
            yield lines
        finally:
            lines.close()

    def channels(self, path: str, query: Sequence[tuple[str, str]]) -> Channels:
        """A way into a container: ``exec``, ``attach`` or ``portforward`` of a pod. Asked again only where the cluster says that it was not
        done, as it may have begun a command.
        """
        return self._patiently(lambda: self._channels(path, query), (BusyError,))

    def _channels(self, path: str, query: Sequence[tuple[str, str]]) -> Channels:
        from websocket import WebSocketBadStatusException, WebSocketException

        client, ws_client = self._connected().client, _websockets()
        url = ws_client.get_websocket_url(client.configuration.host + path, query)
        headers = {"sec-websocket-protocol": PROTOCOL}
        token = client.configuration.auth_settings().get("BearerToken")
        if token:
            headers["authorization"] = token["value"]
        try:
            return Channels(ws_client.create_websocket(client.configuration, url, headers))
        except WebSocketBadStatusException as error:
            raise refusal(error.status_code, error.resp_body or b"", error.resp_headers) from error
        except (WebSocketException, OSError) as error:
            raise UnavailableError(
                f"the cluster does not let into a container: {' '.join(str(error).split())[:300]}",
                hint="what stands between the server and the cluster must pass websockets on",
            ) from error

    def pod_path(self, namespace: str, pod: str) -> str:
        return self._path("Pod", pod, namespace)

    def watch_path(self, kind: str, namespace: str) -> str:
        return self._path(kind, None, namespace)

    def log_path(self, namespace: str, pod: str) -> str:
        return f"{self._path('Pod', pod, namespace)}/log"

    def read_log(self, namespace: str, pod: str, query: Mapping[str, str]) -> bytes:
        """A container's output so far; empty where there is none (any more)."""
        try:
            with self.stream(self.log_path(namespace, pod), query) as lines:
                return b"".join(lines.chunks())
        except RolloutError:
            return b""  # the container has not started, or is gone

    def open(self, path: str, query: Mapping[str, str], *, silence: float) -> LineStream:
        """As ``stream``, for who closes it: ``interrupt`` from another thread, ``close`` in the end."""
        with translated():
            return LineStream(
                self._asking("GET", path, query, None, stream=True, timeout=(_TIMEOUT[0], silence))()
            )

    def api_version(self, kind: str) -> str:
        """The version of a kind that this cluster serves, newest first."""
        self._connected()
        if kind == "CronJob":
            return "batch/v1" if self._numbers() >= _CRON_SINCE else "batch/v1beta1"
        for version in _BY_DISCOVERY.get(kind, ()):
            if version in self._served:
                return version
        return _API_VERSIONS.get(kind) or _BY_DISCOVERY[kind][0]

    def serves(self, kind: str) -> bool:
        """Whether the cluster knows this kind, which not every cluster does."""
        self._connected()
        return any(version in self._served for version in _BY_DISCOVERY[kind])

    def versions(self, group: str) -> frozenset[str]:
        """As which versions the cluster serves a group; empty where it does not."""
        self._connected()
        served = (each.partition("/") for each in self._served)
        return frozenset(version for name, _, version in served if name == group)

    def resources(self, api_version: str) -> frozenset[str]:
        """What the cluster serves as GROUP/VERSION, by plural names; empty where it does not."""
        found = self._call("GET", f"/apis/{api_version}", missing_is_none=True) or {}
        return frozenset(each["name"] for each in found.get("resources") or [])

    def facts(self) -> ClusterApi:
        """What rendering depends on."""
        self._connected()
        numbers = self._numbers()
        return ClusterApi(
            self.api_version("PodDisruptionBudget"),
            sleep_action=numbers >= (1, 30),
            autoscaler_api=self.api_version("HorizontalPodAutoscaler"),
            cron_api=self.api_version("CronJob"),
            time_zones=numbers >= (1, 27),
            exposing=self._ways(),
        )

    def version(self) -> str:
        """Asked afresh: it proves that the cluster answers."""
        answer = self._call("GET", "/version")
        assert answer is not None
        return str(answer.get("gitVersion", "unknown"))

    def _numbers(self) -> tuple[int, int]:
        major, minor = (_leading_number(self._version.get(key, "")) for key in ("major", "minor"))
        return major, minor

    def _ways(self) -> Exposing:
        """Looked at once for each time that the cluster is asked what it serves."""
        with self._lock:
            if self._exposing is None:
                self._exposing = ways(self)
            return self._exposing

    # --- below: how it is asked -------------------------------------------------------------------------------------

    def _path(self, kind: str, name: str | None, namespace: str | None) -> str:
        if "/" in kind:
            api, _, plural = kind.rpartition("/")
            return f"/apis/{api}/namespaces/{namespace}/{plural}{f'/{name}' if name else ''}"
        client, version = self._connected(), self.api_version(kind)
        with self._lock:
            resource = self._patiently(lambda: _discovered(client, version, kind))
        return str(resource.path(name=name, namespace=namespace))

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        *,
        missing_is_none: bool = False,
        patch: str = _APPLY,
    ) -> Manifest | None:
        """Tried again, with growing pauses, where the cluster does not answer or is too busy."""
        asking = partial(self._asking, method, path, query or {}, body, patch=patch)
        try:
            return self._patiently(lambda: _whole(asking()))
        except MissingError:
            if missing_is_none:
                return None
            raise

    def _patiently(
        self, action: Callable[[], T], passing: tuple[type[UnavailableError], ...] = (UnavailableError,)
    ) -> T:
        """What ``action`` returns, asked again after an error of ``passing``. Raises the last one."""
        began, paused, attempt = time.monotonic(), 0.0, 0
        while True:
            attempt += 1
            try:
                return action()
            except passing as error:
                if isinstance(error, UnauthorizedError):
                    self._client = None  # its token may have run out: load the credentials again
                after = error.after if isinstance(error, BusyError) else 0.0
                pause = self._patience.pause(attempt, paused, after)
                if pause is None or time.monotonic() - began > _ENOUGH_SECONDS:
                    raise
            time.sleep(pause)
            paused += pause

    def _asking(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Manifest | None,
        *,
        stream: bool = False,
        patch: str = _APPLY,
        timeout: tuple[float, float] = _TIMEOUT,
    ) -> Callable[[], Any]:
        """What asks. It may be called in another thread, also while this one holds the lock: it takes none itself."""
        options: dict[str, Any] = {"serialize": False} if stream else {"serializer": _plain}
        if stream:
            options["header_params"] = {"Accept": "*/*"}
        if method == "PATCH":
            options["content_type"] = patch
        return partial(
            self._connected().request,
            method,
            path,
            body=body,
            query_params=list(query.items()),
            _request_timeout=timeout,
            **options,
        )

    def _connected(self) -> Any:
        with self._lock:
            now = time.monotonic()
            if self._client is None or now - self._asked_at > _FACTS_SECONDS:
                client = self._client or self._patiently(lambda: connect(self._context))
                ask = partial(client.request, "GET", serializer=_plain, _request_timeout=_TIMEOUT)
                groups = self._patiently(lambda: _whole(lambda: ask("/apis")))
                self._version = self._patiently(lambda: _whole(lambda: ask("/version")))
                self._served = frozenset(
                    version["groupVersion"] for group in groups["groups"] for version in group["versions"]
                )
                self._client, self._asked_at, self._exposing = client, now, None
            return self._client


def _discovered(client: Any, version: str, kind: str) -> Any:
    with translated():
        return client.resources.get(api_version=version, kind=kind)


def _whole(ask: Callable[[], Any]) -> Manifest:
    """An answer that is a document, and no stream."""
    with translated():
        answer = within(_WHOLE_SECONDS, ask)
    if not isinstance(answer, dict):
        raise UnavailableError(
            "the cluster's answer is no JSON document",
            hint="see what stands between the server and the cluster's API",
        )
    return answer


def _websockets() -> Any:
    from kubernetes.stream import ws_client

    return ws_client


def _plain(_client: object, answer: Any) -> Any:
    return answer


def _leading_number(text: str) -> int:
    digits = ""
    for character in text:
        if not character.isdigit():
            break
        digits += character
    return int(digits) if digits else 0
