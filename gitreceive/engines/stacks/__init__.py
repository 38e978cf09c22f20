"""Stacks: the pair of base images, made of Debian packages or taken from any registry."""

from gitreceive.engines.stacks.create import ImageStore, StackRequest, create

__all__ = ["ImageStore", "StackRequest", "create"]
