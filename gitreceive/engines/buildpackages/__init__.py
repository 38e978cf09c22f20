"""Buildpacks from elsewhere, and packages of them for elsewhere (CNB Distribution spec)."""

from gitreceive.engines.buildpackages.pack import pack

__all__ = ["pack"]
