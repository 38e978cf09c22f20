"""Builds in containers of a Docker engine: a Builder."""

from gitreceive.engines.docker_builder.builder import DockerBuilder

__all__ = ["DockerBuilder"]
