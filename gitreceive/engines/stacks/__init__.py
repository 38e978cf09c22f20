"""Stacks: the pair of base images, made of Debian packages or taken from any registry, and with the packages that apps ask for."""

from gitreceive.engines.stacks.create import ImageStore, StackRequest, create
from gitreceive.engines.stacks.derived import Derived, DerivedStacks

__all__ = ["Derived", "DerivedStacks", "ImageStore", "StackRequest", "create"]
