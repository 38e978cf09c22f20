"""Sources with a Dockerfile, built by Docker itself."""

from gitreceive.engines.dockerfile_builder.builder import DockerfileBuilder

__all__ = ["DockerfileBuilder"]
