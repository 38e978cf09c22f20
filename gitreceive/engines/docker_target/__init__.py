"""The ``docker`` target."""

from gitreceive.engines.docker_target.target import DockerTarget

__all__ = ["DockerTarget"]
