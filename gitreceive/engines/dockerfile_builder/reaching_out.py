"""What of a Dockerfile the Docker engine itself would fetch, from where it stands and with what it may. Pure.

The engine is not confined as the steps of a build are: an ``ADD`` of a URL reaches whatever the host reaches, a cloud's metadata for one, and a
base image is looked for in the engine and in the server's registry, where those of all apps are.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gitreceive.errors import SourceError
from gitreceive.model import AppName

_OURS = "gitreceive"
_GIVEN = re.compile(r"\$\{?(GITRECEIVE_(?:BUILD|RUN)_IMAGE)\}?")
_NAME = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))", re.ASCII)
_BY_ID = re.compile(r"(?:sha256:)?[0-9a-f]+")
_LATER = re.compile(r"\\[ \t]*\n")
_TWICE = re.compile(
    r"\\\\[ \t]*$", re.MULTILINE
)  # versions of Docker differ about whether the next line belongs to this
_LONGEST = 1 << 20
_ESCAPE = re.compile(r"^#\s*escape\s*=", re.IGNORECASE | re.MULTILINE)


def refuse_reaching_out(dockerfile: str, registry: str, app: AppName) -> None:
    """Raises SourceError with the line for an ``ADD`` of a URL, for an image of another app's, and where it cannot be told."""
    if _ESCAPE.search(dockerfile) or _TWICE.search(dockerfile) or len(dockerfile) >= _LONGEST:
        raise SourceError(
            "the Dockerfile is written so that its lines cannot be told apart with certainty",
            hint="leave `# escape=` out, end no line with two backslashes, and keep it below 1 MB",
        )
    said, places = _Said({}), _Places(registry.strip("/"), app)
    for line, instruction, words in _instructions(dockerfile):
        if instruction == "ADD":
            _check_add(line, words)
        for image in _images(instruction, words):
            if not said.is_given(image) and not places.may_be_used(said.name(image), said):
                raise SourceError(
                    f"the Dockerfile names an image that is another app's, or nobody can tell whose: {line}",
                    hint="begin with ${GITRECEIVE_RUN_IMAGE}, or with an image of another registry, by its name",
                )
        said.hear(instruction, words)


def images_named(dockerfile: str, given: Mapping[str, str]) -> tuple[str, ...]:
    """The images that it begins with or copies from, each once, in its order; its own stages and ``scratch`` are none. ``given`` are the build's
    arguments.
    """
    said, found = _Said(given), dict[str, None]()
    for _, instruction, words in _instructions(dockerfile):
        names = (said.name(image) for image in _images(instruction, words))
        found |= {name: None for name in names if not said.is_stage(name)}
        said.hear(instruction, words)
    return tuple(found)


def _instructions(dockerfile: str) -> Iterator[tuple[str, str, list[str]]]:
    """The line as it stands, the instruction, its words; what ``ONBUILD`` asks for counts as what it is."""
    text = dockerfile.removeprefix("\ufeff").replace("\r\n", "\n")
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    for line in _LATER.sub(" ", "\n".join(lines)).split("\n"):
        words = line.split()
        while words and words[0].upper() == "ONBUILD":
            words = words[1:]
        if words:
            yield line.strip(), words[0].upper(), words[1:]


def _check_add(line: str, words: list[str]) -> None:
    sources = " ".join(words)
    if "://" in sources or "$" in sources:
        raise SourceError(
            f"the Docker engine itself would fetch what the Dockerfile names: {line}",
            hint="write COPY for files of the source, and RUN with curl or Python's urllib for what lies elsewhere",
        )


def _images(instruction: str, words: list[str]) -> Iterator[str]:
    if instruction == "FROM":
        yield next((word for word in words if not word.startswith("--")), "")
    if instruction == "COPY":
        yield from (word.removeprefix("--from=") for word in words if word.startswith("--from="))


@dataclass(frozen=True)
class _Said:
    """What the lines above have said, where the build was ``given`` these arguments."""

    given: Mapping[str, str]
    arguments: dict[str, str] = field(default_factory=dict)
    stages: set[str] = field(default_factory=set)

    def hear(self, instruction: str, words: list[str]) -> None:
        if instruction == "ARG":
            name, _, value = " ".join(words).partition("=")
            self.arguments.setdefault(name, self.given.get(name) or value.strip("\"'"))
        elif instruction == "FROM" and len(words) > 2 and words[-2].upper() == "AS":
            self.stages.add(words[-1].lower())

    def is_given(self, image: str) -> bool:
        """Whether it is one of the stack's, which the server names."""
        found = _GIVEN.fullmatch(image)
        return found is not None and not self.arguments.get(found[1])

    def name(self, image: str) -> str:
        return _NAME.sub(self._value, image).strip("\"'")

    def is_stage(self, name: str) -> bool:
        return name.lower() in self.stages or name.isdigit() or name == "scratch"

    def _value(self, found: re.Match[str]) -> str:
        return self.arguments.get(found[1] or found[3]) or found[2] or ""


@dataclass(frozen=True)
class _Places:
    """Whose images are whose."""

    registry: str
    app: AppName

    def may_be_used(self, name: str, said: _Said) -> bool:
        if said.is_stage(name):
            return True
        place = name.removeprefix("docker.io/").removeprefix("library/")
        of_nobody = not place or "$" in place or bool(_BY_ID.fullmatch(place))
        return not of_nobody and not place.startswith(_OURS) and not self._is_another_apps(place)

    def _is_another_apps(self, place: str) -> bool:
        """Apps' repositories are the registry's, each by the app's name alone; stacks and others lie deeper."""
        inside = place.removeprefix(f"{self.registry}/")
        repository = re.split(r"[:@]", inside)[0]
        return inside != place and "/" not in repository and repository != self.app
