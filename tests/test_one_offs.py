from collections.abc import Iterator

import pytest

from gitreceive.cli.instances import instance
from gitreceive.errors import UsageError
from gitreceive.lifecycle import attended
from gitreceive.model import Digest, Image, ImageRef, OneOff, ProcessStatus, Terminal
from gitreceive.ports import Output
from gitreceive.stories.one_offs import Kept, command_line, new_name
from tests.fakes import FakeAttachment

_REF = ImageRef("registry.test/shop", Digest("sha256:" + "a" * 64))


def image(*buildpacks: str) -> Image:
    return Image(_REF, (), None, buildpacks)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("rake", "db:migrate"), "rake db:migrate"),
        (("python", "-c", "print('$HOME')"), """python -c 'print('"'"'$HOME'"'"')'"""),
        (("echo $HOME && ls",), "echo $HOME && ls"),
    ],
)
def test_a_command_goes_through_the_launcher_as_it_was_typed(words: tuple[str, ...], line: str) -> None:
    assert command_line(image("x/python@1"), words) == ("/cnb/lifecycle/launcher", line)


def test_an_image_from_a_dockerfile_has_no_launcher_and_perhaps_no_shell() -> None:
    made = image("dockerfile")
    assert command_line(made, ("/server", "--check")) == ("/server", "--check")
    assert command_line(made, ("/server",)) == ("/server",)
    assert command_line(made, ("echo $HOME",)) == ("/bin/sh", "-c", "echo $HOME")


def test_a_name_can_be_told_from_others() -> None:
    assert OneOff.parse_name(new_name())
    for text in ("run", "web.1", "run-../x", "run-A1b2c3", ""):
        with pytest.raises(UsageError, match="names no one-off"):
            OneOff.parse_name(text)


@pytest.mark.parametrize(
    ("asked", "terminal"),
    [
        (("vt220", 100, 30), Terminal("vt220", 100, 30)),
        (("", 0, 0), Terminal("xterm", 80, 24)),
        (("../../x", 100, 30), Terminal("xterm", 100, 30)),
        (("xterm\n", 70_000, 1), Terminal("xterm", 80, 24)),
    ],
)
def test_a_terminal_that_says_nonsense_of_itself_is_a_plain_one(
    asked: tuple[str, int, int], terminal: Terminal
) -> None:
    assert Terminal.of(*asked) == terminal


class Wire(FakeAttachment):
    def __init__(self) -> None:
        super().__init__(5)
        self.sent = b""

    def write(self, chunk: bytes) -> None:
        self.sent += chunk

    def output(self) -> Iterator[Output]:
        yield 1, b"x"


def test_what_is_said_to_a_keeper_goes_in_frames() -> None:
    wire = Wire()
    process = Kept(wire, None)
    process.write(b"a" * 40_000)
    process.resize(1, 1)  # there is no terminal
    process.interrupt()
    process.end_input()
    assert wire.sent == (
        attended.begin_frame(None, 80, 24)
        + attended.frame(attended.INPUT, b"a" * 32768)
        + attended.frame(attended.INPUT, b"a" * (40_000 - 32768))
        + attended.frame(attended.SIGNAL, b"\x02")
        + attended.frame(attended.END_OF_INPUT)
    )
    assert (list(process.output()), process.exit_code()) == ([(1, b"x")], 5)


def test_input_in_a_terminal_has_no_end_but_the_one_that_is_typed() -> None:
    wire = Wire()
    process = Kept(wire, Terminal("xterm", 90, 30))
    process.end_input()
    process.resize(50, 20)
    assert wire.sent == attended.begin_frame("xterm", 90, 30) + attended.resize_frame(50, 20)


def status(process: str, name: str, age: float) -> ProcessStatus:
    return ProcessStatus(process, name, 1, "up", True, 0, age)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("web", "web-old"),
        ("web.1", "web-old"),
        ("web.2", "web-new"),
        ("web-new", "web-new"),
        ("worker.1", "worker-x"),
        ("web.3", None),
        ("web.0", None),
        ("web.x", None),
        ("web.²", None),
        ("clock", None),
    ],
)
def test_an_instance_is_named_by_type_by_age_or_by_its_own_name(given: str, name: str | None) -> None:
    up = [status("web", "web-new", 5), status("web", "web-old", 50), status("worker", "worker-x", 9)]
    assert instance(up, given) == name
