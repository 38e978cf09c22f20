"""Images in an OCI registry, by the distribution API itself: no engine in between."""

from gitreceive.engines.oci_registry.layout import save
from gitreceive.engines.oci_registry.reference import Repository, parse_reference
from gitreceive.engines.oci_registry.registry import OciRegistry

__all__ = ["OciRegistry", "Repository", "parse_reference", "save"]
