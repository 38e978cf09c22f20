"""Which cluster is spoken to, and as whom: the configuration of ``kubectl``, or the pod's own account."""

import hashlib
from typing import Any

from gitreceive.config import cache_dir, process_environment
from gitreceive.engines.kubernetes_target.refusals import translated
from gitreceive.errors import ConfigError


def api_server(context: str) -> str:
    """The URL of the API server that a context leads to; nothing is asked of it. Raises ConfigError."""
    return str(_configuration(context).host)


def connect(context: str) -> Any:
    """A client that finds kinds by discovery, which it keeps in a file. Raises ConfigError."""
    import kubernetes
    from kubernetes import dynamic

    client: Any = kubernetes.client
    discovering: Any = dynamic  # half of it has types, and none that help here
    configuration = _configuration(context)
    configuration.retries = False  # retried here, where it is known what may be asked twice
    configuration.connection_pool_maxsize = 32
    identity = f"{configuration.host}\0{configuration.ssl_ca_cert}".encode()
    cache = cache_dir() / "kubernetes" / f"{hashlib.sha256(identity).hexdigest()[:16]}.json"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with translated():
        return discovering.DynamicClient(client.ApiClient(configuration), cache_file=str(cache))


def _configuration(context: str) -> Any:
    import kubernetes

    untyped: Any = kubernetes  # half of it has types, and none that help here
    client, config = untyped.client, untyped.config
    configuration = client.Configuration()
    try:
        # named here, as the library looks at the environment once, when it is first imported
        named = process_environment().get("KUBECONFIG") or None
        config.load_kube_config(named, context=context or None, client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError) as error:
        if context:
            raise _no_cluster(error) from error
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as inner:
            raise _no_cluster(error) from inner
    return configuration


def _no_cluster(error: Exception) -> ConfigError:
    return ConfigError(
        f"no Kubernetes cluster is configured: {' '.join(str(error).split())}",
        hint="set KUBECONFIG and kubernetes.context, or run the server in the cluster",
    )
