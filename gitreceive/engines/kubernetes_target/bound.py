"""Secrets that people made in an app's namespace, and bound the app to."""

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.manifests.rendering import MANAGED_LABEL, MANAGER
from gitreceive.model import Release

# credentials of the cluster and of registries, which are no app's
_REFUSED = ("kubernetes.io/service-account-token", "kubernetes.io/docker", "bootstrap.kubernetes.io/")


def names(api: Api, namespace: str, secret: str) -> tuple[str, ...]:
    """What is in it, sorted. Raises NotFoundError where it is not there, ConflictError where no app is to have what is in it."""
    found = api.get("Secret", secret, namespace)
    if found is None:
        raise NotFoundError(
            f"there is no Secret {secret} in namespace {namespace}",
            hint=f"make it: kubectl create secret generic {secret} --namespace {namespace} --from-literal=NAME=VALUE",
        )
    ours = (found["metadata"].get("labels") or {}).get(MANAGED_LABEL) == MANAGER
    if ours or str(found.get("type", "")).startswith(_REFUSED):
        raise ConflictError(
            f"Secret {secret} holds credentials of the platform, which apps are not given",
            hint="bind one that was made for the app",
        )
    return tuple(sorted(found.get("data") or {}))


def require_all(api: Api, namespace: str, release: Release) -> None:
    """Raises as ``names`` does: without one of them no process would start."""
    runtime = release.settings.runtime
    keys = [place for name, place in runtime.secret_keys.items() if name not in release.config]
    there = {
        secret: names(api, namespace, secret) for secret in {*runtime.secrets, *(key.secret for key in keys)}
    }
    for place in keys:
        if place.key not in there[place.secret]:
            raise NotFoundError(
                f"Secret {place.secret} in namespace {namespace} has no {place.key[:60]}",
                hint=f"gitreceive services unbind {release.app} --secret {place.secret}",
            )
