"""The profile ``restricted`` of the Pod Security Standards, rule by rule, as kubernetes.io has it for Linux pods (v1.34)."""

from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
_SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def violations(pod: Fields) -> list[str]:
    """Of a PodSpec: what of it the profile does not allow."""
    return [
        *_of_pod(pod),
        *(f"{one['name']}: {why}" for one in _containers(pod) for why in _of_container(one, pod)),
    ]


def _containers(pod: Fields) -> Iterator[Fields]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, ())


def _of_pod(pod: Fields) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    context = pod.get("securityContext", {})
    yield from (
        f"sysctl {each['name']}" for each in context.get("sysctls", ()) if each["name"] not in _SYSCTLS
    )
    for volume in pod.get("volumes", ()):
        if kinds := set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is {', '.join(sorted(kinds))}"
    yield from _of_context(context)


def _of_container(one: Fields, pod: Fields) -> Iterator[str]:
    own, above = one.get("securityContext", {}), pod.get("securityContext", {})
    yield from _of_context(own)
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if own.get("runAsNonRoot", above.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    if (own.get("seccompProfile") or above.get("seccompProfile") or {}).get("type") not in {
        "RuntimeDefault",
        "Localhost",
    }:
        yield "seccompProfile is not set"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are not dropped"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    yield from _of_way_in(one)


def _of_way_in(one: Fields) -> Iterator[str]:
    yield from (f"host port {port['hostPort']}" for port in one.get("ports", ()) if port.get("hostPort"))
    handlers = [one.get(probe, {}) for probe in _PROBES] + list(one.get("lifecycle", {}).values())
    if any(handler.get(way, {}).get("host") for handler in handlers for way in ("httpGet", "tcpSocket")):
        yield "a probe or hook asks another host"


def _of_context(context: Fields) -> Iterator[str]:
    """What pods and containers say alike."""
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield "seccompProfile is Unconfined"
    if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield "appArmorProfile is Unconfined"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in _SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield "seLinuxOptions"
