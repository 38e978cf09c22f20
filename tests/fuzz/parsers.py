"""Every parser of what others have written: how it is called, what it may raise, and texts to begin with.

``parse`` takes any bytes. It ends, with a value or with one of the errors that the parser promises; what it says of the value has to hold.
``tests/fuzz/test_parsers.py`` tries each for seconds, ``scripts/fuzz`` for as long as it is told to.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from gitreceive.appjson.reading import parse_app_json
from gitreceive.buildpacks.listed import parse_listed
from gitreceive.buildpacks.procfile import parse_procfile
from gitreceive.buildpacks.project import parse_project
from gitreceive.cli.keys import parse_public_key
from gitreceive.engines.docker_builder.events import read_event
from gitreceive.engines.docker_builder.intake import take_layer
from gitreceive.engines.docker_target.engine import Wire
from gitreceive.errors import BuildError, GitreceiveError, UnavailableError, UsageError
from gitreceive.lifecycle import frames, toml
from gitreceive.lifecycle.folder import Buildpack, FolderError, read_buildpack
from gitreceive.lifecycle.launch_toml import read_launch
from gitreceive.lifecycle.layers import ContractError
from gitreceive.lifecycle.plan import Candidate, parse_options, resolve
from gitreceive.lifecycle.release_yaml import ReleaseError, parse_release
from gitreceive.model import BuildpackRef, PushOptions
from gitreceive.receive.commands import CliCommand, GitCommand, parse
from gitreceive.receive.shallow import CommandSection
from gitreceive.receive.updates import one_line, parse_update
from gitreceive.sanitise import LINE_LIMIT, Sanitiser, plain, sanitise


@dataclass(frozen=True)
class Parser:
    """``raises`` are the errors that stand for bytes that it does not take. ``words`` are what a fuzzer puts together."""

    parse: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()

    def run(self, content: bytes) -> None:
        try:
            self.parse(content)
        except self.raises:
            return


def _ssh_command(content: bytes) -> None:
    asked = parse(content.decode("utf-8", "surrogateescape"))
    if isinstance(asked, GitCommand):
        assert asked.service in {"receive-pack", "upload-pack"}
        assert asked.app == type(asked.app).parse(asked.app)
    if isinstance(asked, CliCommand):
        assert asked.argv
        assert not any("\n" in word or "\0" in word for word in asked.argv)


def _push_options(content: bytes) -> None:
    PushOptions.parse(tuple(content.decode("utf-8", "replace").split("\n")))


def _update(content: bytes) -> None:
    words = content.decode("utf-8", "replace").split(" ")
    update = parse_update(*[*words, "", "", ""][:3])
    assert update.ref.startswith("refs/")
    assert one_line(update.ref).isprintable()


def _refs(content: bytes) -> None:
    """However it is cut, the same is passed on."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        whole = CommandSection(folder, folder / "a").feed(content)
        section = CommandSection(folder, folder / "b")
        assert b"".join(section.feed(content[at : at + 3]) for at in range(0, len(content), 3)) == whole


def _plan(content: bytes) -> None:
    options = parse_options(_document(content))
    resolve([Candidate("a", optional=False, options=options), Candidate("b", optional=True, options=options)])


def _document(content: bytes) -> Mapping[str, Any]:
    with TemporaryDirectory() as name:
        file = Path(name, "x.toml")
        file.write_bytes(content)
        return toml.read(file)


def _buildpack(content: bytes) -> None:
    with TemporaryDirectory() as name:
        (Path(name) / "bin").mkdir()
        for program in ("detect", "build"):
            (Path(name) / "bin" / program).touch()
        file = Path(name, "buildpack.toml")
        file.write_bytes(content)
        found = read_buildpack(file)
        assert isinstance(found.version, str)
        assert isinstance(found.homepage, str)
        assert "/" not in found.folder
        assert found.folder not in {".", ".."}


def _launch(content: bytes) -> None:
    with TemporaryDirectory() as name:
        Path(name, "launch.toml").write_bytes(content)
        api = (0, 8) if b'command = "' in content else (0, 12)  # a string before 0.9, an array since
        launch = read_launch(Buildpack("a/b", "1", api, Path(name)), Path(name))
        assert json.dumps(launch.processes) is not None


def _docker_stream(content: bytes) -> None:
    """As Docker hands a connection over; what is in the frames is all that comes out."""
    file = io.BufferedReader(io.BytesIO(content))
    response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=file)), close=lambda: None)
    attached = SimpleNamespace(_response=response, settimeout=lambda _: None)
    pieces = list(Wire(attached, framed=True).pieces())
    assert sum(len(piece) for _, piece in pieces) <= len(content)
    assert all(piece for _, piece in pieces)


def _frames(content: bytes) -> None:
    stream = io.BytesIO(content)
    while stream.tell() < len(content):
        for _ in frames.read_stream(stream.read):
            pass


def _layer(content: bytes) -> None:
    with TemporaryDirectory() as name:
        take_layer(
            "a/b:c",
            iter([content[:700], content[700:]]) if content[:700] else iter([]),
            Path(name, "layer"),
            {},
            {},
        )


def _sanitiser(content: bytes) -> None:
    whole = sanitise(content)
    pieces = Sanitiser()
    size = 1 + len(content) // 1000
    cut = [content[at : at + size] for at in range(0, len(content), size)]
    assert b"".join([*map(pieces.feed, cut), pieces.finish()]) == whole
    assert sanitise(whole) == whole
    assert max(map(len, whole.split(b"\n"))) <= LINE_LIMIT
    text = whole.decode()
    assert "\r" not in text
    assert not any(ord(c) < 0x20 and c not in "\t\n\x1b" for c in text)
    shown = plain(content.decode("utf-8", "surrogateescape"))
    assert not any(ord(c) < 0x20 and c != "\t" for c in shown)


def _tar(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _framed(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(kind + len(content).to_bytes(4, "big") + content for kind, content in parts)


_TOML = (
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"=",
    b'"',
    b'"""',
    b"{",
    b"}",
    b",",
    b"\n",
    b"true",
    b"1",
    b"1.5",
    b"1979-05-27",
    b"#",
    b"''",
)
_DONE: dict[str, object] = {
    "event": "done", "buildpacks": [], "processes": [], "default": "", "labels": {}, "contents": [], "tried": [], "inputs": None, "observed": {},
}  # fmt: skip

PARSERS: dict[str, Parser] = {
    "ssh-command": Parser(
        _ssh_command,
        (UsageError,),
        (b"git-receive-pack 'shop'", b"git upload-pack /shop.git", b'apps list --json "a b"'),
        (b"git-receive-pack ", b"git-upload-pack ", b"git upload-archive ", b"'", b'"', b"\\", b"/", b".git", b"shop", b";", b"$(", b"-", b"\n", b"\0", b" "),
    ),
    "push-options": Parser(
        _push_options,
        (UsageError,),
        (b"nocache", b"buildpack=python\nreview", b"buildpack=docker://r.example.com/a@sha256:" + b"a" * 64),
        (b"nocache", b"review", b"buildpack=", b"\n", b"=", b"docker://", b"https://", b"@", b"./", b"../", b":", b"#sha256="),
    ),
    "buildpack-reference": Parser(
        lambda content: BuildpackRef.parse_uri(content.decode("utf-8", "replace")),
        (UsageError,),
        (b"urn:cnb:builder:a/b@1", b"https://a.example.com/x.tgz#sha256=" + b"a" * 64, b"docker://[::1]:5000/a:b"),
        (b"docker://", b"https://", b"urn:cnb:builder:", b"@", b":", b"/", b"..", b"#", b"[", b"]", b"sha256"),
    ),
    "ref-update": Parser(
        _update,
        (UsageError,),
        (b"refs/heads/main " + b"a" * 40 + b" " + b"b" * 40,),
        (b"refs/", b"heads/", b" ", b"a" * 40, b"0" * 40, b"\xe2\x80\xae", b"\n"),
    ),
    "list-of-refs": Parser(
        _refs,
        (UsageError,),
        (b"0035shallow " + b"a" * 40 + b"\n0000PACK", b"0000"),
        (b"0000", b"0004", b"0001", b"ffff", b"0035shallow ", b"a" * 40, b"-001", b"+0ff"),
    ),
    "procfile": Parser(
        parse_procfile,
        (BuildError,),
        (b"web: python app.py\nworker: python w.py\n", b"\xef\xbb\xbfweb: x"),
        (b"web", b":", b"\n", b"\r", b"#", b" ", b"\t", b"\x85", b"\xe2\x80\xa8", b"-"),
    ),
    "app-json": Parser(
        parse_app_json,
        (GitreceiveError,),
        (b'{"env": {"A": "1"}, "formation": {"web": {"quantity": 1}}}', b'{"cron": [{"command": "x", "schedule": "* * * * *"}]}'),
        (b"{", b"}", b"[", b"]", b":", b",", b'"', b'"env"', b'"formation"', b'"healthchecks"', b'"cron"', b'"scripts"', b"\\ud800", b"\\", b"1e9", b"-", b"null"),
    ),
    "project-toml": Parser(
        parse_project,
        (GitreceiveError,),
        (b'[_]\nschema-version = "0.2"\n[[io.buildpacks.group]]\nid = "a/b"\n[[io.buildpacks.build.env]]\nname = "A"\nvalue = "b"\n',),
        (*_TOML, b"[_]", b'schema-version = "0.2"', b"[io.buildpacks]", b"[[io.buildpacks.group]]", b"uri", b"script", b"include", b"exclude"),
    ),
    "dot-buildpacks": Parser(parse_listed, (GitreceiveError,), (b"https://a.example.com/b.tgz\nheroku/python\n",), (b"\n", b"#", b"https://", b"@")),
    "buildpack-toml": Parser(
        _buildpack,
        (FolderError,),
        (
            b'api = "0.10"\n[buildpack]\nid = "a/b"\nversion = "1"\n[[targets]]\nos = "linux"\n[[metadata.gitreceive.hints]]\nmatch = "x(y)"\nhint = "{1}"\n',
            b'api = "0.10"\n[buildpack]\nid = "a/b"\nversion = "1"\n[[order]]\n[[order.group]]\nid = "c"\noptional = true\n',
        ),
        (*_TOML, b"[buildpack]", b"id", b"version", b"api", b"[[order]]", b"[[order.group]]", b"exec-env", b"[metadata.gitreceive]", b"inputs", b"[[targets.distros]]"),
    ),
    "plan": Parser(
        _plan,
        (ValueError,),
        (b'[[provides]]\nname = "a"\n[[requires]]\nname = "a"\n[[or]]\n[[or.requires]]\nname = "b"\n',),
        (*_TOML, b"[[provides]]", b"[[requires]]", b"[[or]]", b"[[or.provides]]", b"name", b"metadata"),
    ),
    "launch-toml": Parser(
        _launch,
        (ContractError,),
        (
            b'[[processes]]\ntype = "web"\ncommand = ["a"]\nargs = ["b"]\ndefault = true\n[[labels]]\nkey = "a"\nvalue = "b"\n[[slices]]\npaths = ["x"]\n',
            b'[[processes]]\ntype = "web"\ncommand = "a"\ndirect = true\n',
        ),
        (*_TOML, b"[[processes]]", b"type", b"command", b"working-dir", b"exec-env", b"[[slices]]", b"paths", b"[[labels]]"),
    ),
    "release-yaml": Parser(
        lambda content: parse_release(content.decode("utf-8", "replace")),
        (ReleaseError,),
        (b"---\ndefault_process_types:\n  web: python app.py\naddons: []\n",),
        (b"default_process_types:", b"config_vars:", b"addons:", b"\n  ", b"\n- ", b": ", b"'", b'"', b"#", b"{}", b"[]", b"---", b"&a", b"*a", b"|"),
    ),
    "docker-stream": Parser(
        _docker_stream,
        (UnavailableError,),
        (b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x01x",),
        (b"\x01\0\0\0", b"\x02\0\0\0", b"\0\0\0\0", b"\0\0\0\x05", b"\xff\xff\xff\xff", b"hello"),
    ),
    "frames": Parser(
        _frames,
        (frames.ChannelError,),
        (_framed((b"C", b"abc"), (b"E", b"")),),
        (b"C", b"E", b"M", b"\0\0\0\0", b"\0\0\0\x03", b"\xff\xff\xff\xff", b"abc"),
    ),
    "build-event": Parser(
        lambda content: read_event(io.BytesIO(content).read),
        (frames.ChannelError,),
        (_framed((b"M", json.dumps(_DONE).encode())), _framed((b"M", b'{"event": "layer", "title": "x"}'))),
        (b'"event"', b'"done"', b'"failed"', b"{", b"}", b"[", b"]", b":", b",", b"1e999", b"NaN", b"\\u0000"),
    ),
    "layer": Parser(
        _layer,
        (BuildError,),
        (_tar("layers/a_b/c/x", b"content"), _tar("layers/a_b/c/" + "x" * 300, b"content")),
        (b"ustar\x0000", b"ustar  \0", b"layers/a_b/c/x", b"\0" * 512, b"00000000000", b"\x80" + b"\xff" * 11, b"././@LongLink", b"GNU.sparse.map=", b"10 path=a\n"),
    ),
    "sanitiser": Parser(
        _sanitiser,
        (),
        (b"\x1b[1;31mred\x1b[0m\r\n", b"a\rb\x1b]0;x\x07", b"x" * 70_000),
        (b"\x1b", b"[", b"m", b"1;31", b"\r", b"\n", b"\xe2\x80\xae", b"\xf0\x9f", b"\xff", b"\0", b"\x1b]52;", b"\x07", b"\x9b", b"x" * 3000),
    ),
    "public-key": Parser(
        lambda content: parse_public_key(content.decode("utf-8", "replace")),
        (UsageError,),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8VKk5x0M6rX0l0m0e6k5B3o0q5P3o9j1bYF4Hk0c0V a",),
        (b"ssh-ed25519 ", b"ssh-rsa ", b"AAAA", b"C3NzaC1lZDI1NTE5", b"\n", b"=", b"-----BEGIN", b"ecdsa-sha2-nistp256 ", b"-cert-v01@openssh.com "),
    ),
}  # fmt: skip
