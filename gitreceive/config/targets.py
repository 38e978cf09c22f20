"""The settings of what runs apps."""

from dataclasses import dataclass

from gitreceive.config.declaring import setting


@dataclass(frozen=True)
class KubernetesSettings:
    """The `kubernetes` target."""

    context: str = setting("", "The kubeconfig context; empty: the current one, or the pod's own account.")
    namespace_prefix: str = setting("app-", "An app's namespace is this and its name.")
    expose: str = setting(
        "auto",
        "How web is reached from outside the cluster. `auto`: an app that has a host by what the cluster serves, OpenShift's Route first, then "
        "`gateway` where that setting names one, then Ingress where there is a class of it; an app that has none by a node port.",
        choices=("auto", "nodeport", "ingress", "gateway", "route", "none"),
    )
    ingress_class: str = setting("", "With `ingress`: the class; empty: the cluster's default.")
    ingress_annotations: dict[str, str] = setting(
        {}, "With `ingress` and `route`: further annotations, for the cluster's controller."
    )
    gateway: str = setting("", "With `gateway`: NAMESPACE/NAME of the Gateway that routes are attached to.")
    gateway_http: str = setting("http", "With `gateway`: its listener for plain HTTP.")
    gateway_https: str = setting("https", "With `gateway`: its listener for HTTPS.")
    request_timeout: int = setting(
        3600, "Seconds that a request, or silence on a WebSocket, may last on its way through the cluster."
    )
    cert_issuer: str = setting(
        "", "The cert-manager ClusterIssuer that `certs auto` obtains certificates of; empty: none can be."
    )
    node_address: str = setting("", "With `nodeport`: the address in URLs; empty: the first node's own.")
    pull_secret: bool = setting(
        True,
        "Give each namespace the server's own credentials for the registry as a pull secret, where there are any.",
    )
    deadline: int = setting(120, "Seconds in which a release must become healthy.")
    memory: str = setting("512Mi", "Memory limit of each process.")
    cpu: str = setting("100m", "CPU request of each process.")
    runtime_class: str = setting(
        "", "The RuntimeClass of apps' pods, such as one for gVisor; empty: the cluster's default."
    )
    storage_class: str = setting(
        "", "The StorageClass that new volumes of apps are made with; empty: the cluster's default."
    )
    network_policy: str = setting(
        "none",
        "Who may speak with an app's pods, where the cluster's network enforces NetworkPolicy. `ingress`: not other apps. `strict`: neither do "
        "they reach other apps, nor metadata addresses, nor the API server; see `security.md`.",
        choices=("none", "ingress", "strict"),
    )
    pod_networks: tuple[str, ...] = setting(
        (),
        "With `network_policy`: the networks that pods have their addresses in, such as `10.244.0.0/16`; empty: as the nodes say. In the "
        "environment: words with spaces between them.",
    )


@dataclass(frozen=True)
class DockerSettings:
    """The `docker` target."""

    listen: str = setting("127.0.0.1", "The address on which apps answer.")
    first_port: int = setting(8100, "Apps get the free ports from here on, one each.")
    http_listen: str = setting(
        "", "HOST:PORT at which all apps answer by their hosts, such as 0.0.0.0:80; empty: none."
    )
    https_listen: str = setting(
        "", "HOST:PORT of the same over HTTPS, for hosts that have a certificate, such as 0.0.0.0:443."
    )
    deadline: int = setting(60, "Seconds in which a release must answer.")
    drain: int = setting(30, "Seconds that requests under way get to finish on the release that is replaced.")
    memory: str = setting("512m", "Memory limit of each process: bytes, or a number with k, m or g.")
    runtime: str = setting(
        "",
        "The OCI runtime that apps run in, by its name in Docker's own settings, such as `runsc`; empty: Docker's default.",
    )
