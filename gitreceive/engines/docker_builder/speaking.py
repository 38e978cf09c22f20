"""What goes wrong around a build, in words: of the data folder, of Docker, and never with a secret among them."""

from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from gitreceive import dockerd
from gitreceive.engines.docker_builder.inputs import Inputs
from gitreceive.errors import GitreceiveError, UnavailableError


@contextmanager
def masked(inputs: Inputs) -> Iterator[None]:
    """A build chooses words of its errors, a file's name for one: no secret is among them."""
    try:
        yield
    except GitreceiveError as error:
        error.message, error.hint = inputs.mask(error.message), inputs.mask(error.hint)
        error.args = (error.message,)
        raise


@contextmanager
def disk_speaks() -> Iterator[None]:
    """Errors of the data folder become UnavailableError."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> UnavailableError:
    """For what of a build cannot be written on the server."""
    return UnavailableError(
        f"what is kept of builds cannot be written: {error}",
        hint="ask the operator to free room on the disk of the data folder, then push again",
    )


@contextmanager
def docker_speaks() -> Iterator[None]:
    """Docker's and the connection's errors become UnavailableError."""
    try:
        yield
    except APIError as error:
        raise UnavailableError(
            f"Docker refused: {error.explanation or error}",
            hint=dockerd.NO_ROOM_HINT if dockerd.no_room(error) else "gitreceive doctor looks at Docker",
        ) from error
    except (DockerException, RequestException, HTTPError) as error:
        raise dockerd.away(error) from error
