"""Images in an OCI registry, by the distribution API itself: no engine in between."""

from gitreceive.engines.oci_registry.registry import OciRegistry

__all__ = ["OciRegistry"]
