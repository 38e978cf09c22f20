"""Sources with a Dockerfile, built by Docker itself."""

from gitreceive.engines.dockerfile_builder.builder import DockerfileBuilder, takes
from gitreceive.engines.dockerfile_builder.procfile import parse_procfile

__all__ = ["DockerfileBuilder", "parse_procfile", "takes"]
