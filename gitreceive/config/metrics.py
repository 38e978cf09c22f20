"""The settings of what Prometheus is told."""

from dataclasses import dataclass

from gitreceive.config.declaring import setting


@dataclass(frozen=True)
class MetricsSettings:
    """What Prometheus is told; see `operate.md`."""

    enabled: bool = setting(True, "Answer at `http_listen`.")
    http_listen: str = setting(
        "127.0.0.1:8223",
        "HOST:PORT of `/metrics`, and of health checks in full. It is apart from the HTTP door, so that a proxy in front of that one never "
        "publishes it; it asks nobody who they are.",
    )
    by_app: bool = setting(
        False, "Tell the names of apps as labels: each app that is pushed to is some more time series."
    )
