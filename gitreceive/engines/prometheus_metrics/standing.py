"""What is so at the moment, as whoever knows it says."""

import logging
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gitreceive.errors import GitreceiveError
from gitreceive.ports import Reading

_log = logging.getLogger(__name__)


class Standing(Collector):
    def __init__(self, version: str, readings: tuple[Reading, ...]) -> None:
        self._version = version
        self._readings = readings

    def describe(self) -> Iterator[Metric]:
        """Nothing is read for it."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "gitreceive_build_info", "Always 1; the version that runs.", labels=["version"]
        )
        info.add_metric([self._version], 1)
        yield info
        for reading in self._readings:
            labels = [reading.label] if reading.label else []
            family = GaugeMetricFamily(f"gitreceive_{reading.name}", reading.doc, labels=labels)
            try:
                values = reading.read()
            except (GitreceiveError, OSError) as error:
                _log.warning("gitreceive_%s cannot be told: %s", reading.name, error)
                continue
            for key, value in sorted(values.items()):
                family.add_metric([key] if labels else [], value)
            yield family
