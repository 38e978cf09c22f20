"""Buildpacks from elsewhere, and packages of them for elsewhere (CNB Distribution spec)."""

from gitreceive.engines.buildpackages.download import Downloads
from gitreceive.engines.buildpackages.kept import Kept
from gitreceive.engines.buildpackages.pack import pack
from gitreceive.engines.buildpackages.sources import BuildpackSources
from gitreceive.engines.buildpackages.way import PublicWay

__all__ = ["BuildpackSources", "Downloads", "Kept", "PublicWay", "pack"]
