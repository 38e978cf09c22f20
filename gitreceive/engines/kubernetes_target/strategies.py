"""How a Deployment replaces its pods: rolled, or the last ended before the next begins."""

from gitreceive.engines.kubernetes_target.api import Api
from gitreceive.manifests.templating import Manifest

_OWNER = "gitreceive-strategy"


def settle(api: Api, wanted: Manifest, live: Manifest | None) -> None:
    """Give the Deployment that is live the strategy of ``wanted`` before that is applied.

    Where applying takes ``rollingUpdate`` away, some clusters keep an empty one, and refuse that beside Recreate. What a merge has set, an
    apply of the same values owns too, but cannot alter: so whatever was set here once is always set here first.
    """
    if live is None:
        return
    strategy, before = wanted["spec"].get("strategy") or {}, live["spec"].get("strategy") or {}
    managers = {entry.get("manager") for entry in live["metadata"].get("managedFields") or []}
    if strategy == before or (strategy.get("type") == before.get("type") and _OWNER not in managers):
        return
    change = {"rollingUpdate": None, **strategy}
    api.merge(wanted, {"spec": {"strategy": change}}, _OWNER)
