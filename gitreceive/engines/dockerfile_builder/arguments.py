"""Which build arguments a Dockerfile gets. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from gitreceive.model import Stack
from gitreceive.ports import Log

# Docker knows these without an ARG, and leaves them out of the image's history
_PREDEFINED = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}
_ARG = re.compile(r"^[ \t]*ARG[ \t]+(.*)$", re.IGNORECASE | re.MULTILINE)


def build_arguments(env: Mapping[str, str], stack: Stack | None, dockerfile: str, log: Log) -> dict[str, str]:
    """Proxies always; of the rest of ``build.env`` and the stack's images, what the Dockerfile declares with ARG.

    An ARG stays readable in the image's history, so a URL with a password in it is held back, and that is said.
    """
    declared = {word.partition("=")[0] for line in _ARG.findall(dockerfile) for word in line.split()}
    given = {name: value for name, value in env.items() if name.upper() in _PREDEFINED}
    for name, value in env.items():
        if name in given or name not in declared:
            continue
        if _has_password(value):
            log.warn(f"ARG {name} is not set: its URL has a password, which would stay in the image")
        else:
            given[name] = value
    if stack is not None:
        images = {"GITRECEIVE_BUILD_IMAGE": str(stack.build), "GITRECEIVE_RUN_IMAGE": str(stack.run)}
        given |= {name: image for name, image in images.items() if name in declared}
    return given


def _has_password(value: str) -> bool:
    """Of any of the URLs in it."""
    for word in value.split():
        try:
            if urlsplit(word).password is not None:
                return True
        except ValueError:
            return True
    return False
