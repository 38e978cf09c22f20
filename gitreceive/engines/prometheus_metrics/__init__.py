"""What Prometheus is told: what has been counted since the start, and what is so at the moment when it asks."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gitreceive import __version__
from gitreceive.engines.prometheus_metrics.counting import Counting
from gitreceive.engines.prometheus_metrics.ledger import LedgerFamilies
from gitreceive.engines.prometheus_metrics.standing import Standing
from gitreceive.ports import MeasuredLedger, Reading


class PrometheusMetrics:
    """The port ``Metrics``."""

    def __init__(self, *, by_app: bool) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.observer = Counting(self._registry, by_app=by_app)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, ledger: MeasuredLedger, readings: Iterable[Reading]) -> None:
        self._registry.register(LedgerFamilies(ledger))
        self._registry.register(Standing(__version__, tuple(readings)))

    def exposition(self) -> tuple[bytes, str]:
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
