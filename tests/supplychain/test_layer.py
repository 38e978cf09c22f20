"""What is found of packages in a layer, language by language, and in one that means harm."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from gitreceive.cancellation import Cancellation
from gitreceive.errors import CanceledError, RegistryError
from gitreceive.supplychain.layer import LayerFacts, read_layer, walk
from tests.supplychain.images import DEBIAN, FLASK, tar_of, write


def found(folder: Path, files: Mapping[str, bytes], mode: int = 0o644) -> list[str]:
    facts = read_layer(write(folder, files, mode), Cancellation())
    return [
        f"{p.kind} {'/'.join(filter(None, (p.group, p.name)))} {p.version}" for _, p in walk(facts.packages)
    ]


def jar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def go_program(modules: str, version: bytes = b"go1.22.3") -> bytes:
    listed = b"x" * 16 + modules.encode() + b"y" * 16

    def text(content: bytes) -> bytes:
        length, prefix = len(content), b""
        while length > 0x7F:
            prefix += bytes([length & 0x7F | 0x80])
            length >>= 7
        return prefix + bytes([length]) + content

    head = b"\xff Go buildinf:" + struct.pack("BB", 8, 2) + b"\0" * 16
    return b"\x7fELF" + b"\0" * 200_000 + head + text(version) + text(listed)


POM = b"#made by maven\ngroupId=org.slf4j\nartifactId=slf4j-api\nversion=2.0.13\n"
INNER = jar({"META-INF/maven/org.slf4j/slf4j-api/pom.properties": POM})
LOCK = {
    "packages": {
        "": {"name": "spa"},
        "node_modules/react": {"version": "18.3.1"},
        "node_modules/vite": {"version": "5.0.0", "dev": True},
        "node_modules/@a/b": {"version": "1.0.0"},
    }
}
SYFT = {"artifacts": [{"name": "left", "version": "1.0", "purl": "pkg:npm/left@1.0"}]}
SPDX = {
    "packages": [
        {
            "name": "right",
            "versionInfo": "2",
            "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:pypi/right@2"}],
        }
    ]
}
CDX = {
    "components": [{"name": "node", "version": "22.1.0", "components": [{"name": "zlib", "version": "1.3"}]}]
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(DEBIAN, ["os debian bookworm", "deb libc6 2.36-9+deb12u10"], id="debian"),
        pytest.param(FLASK, ["pypi flask 3.0.0"], id="python"),
        pytest.param(
            {
                "workspace/node_modules/@types/node/package.json": b'{"name": "@types/node", "version": "20.1.0"}',
                "workspace/node_modules/express/package.json": b'{"name": "express", "version": "4.19.2"}',
                "workspace/node_modules/express/lib/package.json": b'{"type": "module"}',
                "workspace/package.json": b'{"name": "shop", "version": "1.0.0"}',
            },
            ["npm @types/node 20.1.0", "npm express 4.19.2"],
            id="node",
        ),
        pytest.param(
            {
                "layers/x/gems/specifications/rack-3.0.11.gemspec": b"# -*- encoding: utf-8 -*-\n# stub: rack 3.0.11 ruby lib\n"
            },
            ["gem rack 3.0.11"],
            id="ruby",
        ),
        pytest.param(
            {
                "workspace/vendor/composer/installed.json": json.dumps(
                    {
                        "packages": [
                            {"name": "monolog/monolog", "version": "v3.6.0"},
                            {"name": "a/dev", "version": "1"},
                        ],
                        "dev": False,
                        "dev-package-names": ["a/dev"],
                    }
                ).encode()
            },
            ["composer monolog/monolog 3.6.0"],
            id="php",
        ),
        pytest.param(
            {
                "workspace/app.jar": jar(
                    {"BOOT-INF/lib/slf4j-api-2.0.13.jar": INNER, "BOOT-INF/lib/own-1.2.jar": jar({"a": b""})}
                )
            },
            ["maven org.slf4j/slf4j-api 2.0.13", "generic own 1.2"],
            id="java",
        ),
        pytest.param(
            {"workspace/package-lock.json": json.dumps(LOCK).encode()},
            ["npm react 18.3.1", "npm @a/b 1.0.0"],
            id="npm-lock",
        ),
        pytest.param(
            {
                "workspace/Gemfile.lock": b"GEM\n  remote: x\n  specs:\n    rack (3.0.11)\n      webrick (>= 1)\n\nPLATFORMS\n  ruby\n"
            },
            ["gem rack 3.0.11"],
            id="gem-lock",
        ),
        pytest.param(
            {
                "workspace/go.mod": b"module example.com/a\n\ngo 1.22\n\nrequire (\n\tgithub.com/gorilla/mux v1.8.1\n\tx.org/y v0.1.0 // indirect\n)\n"
            },
            ["golang github.com/gorilla/mux v1.8.1", "golang x.org/y v0.1.0"],
            id="go-mod",
        ),
        pytest.param(
            {"layers/sbom/launch/a/sbom.cdx.json": json.dumps(CDX).encode()},
            ["generic node 22.1.0", "generic zlib 1.3"],
            id="cyclonedx",
        ),
        pytest.param(
            {"layers/sbom/launch/a/sbom.spdx.json": json.dumps(SPDX).encode()}, ["pypi right 2"], id="spdx"
        ),
        pytest.param(
            {"layers/sbom/launch/a/sbom.syft.json": json.dumps(SYFT).encode()}, ["npm left 1.0"], id="syft"
        ),
    ],
)
def test_packages_are_found_by_what_their_managers_leave(
    tmp_path: Path, files: Mapping[str, bytes], expected: list[str]
) -> None:
    assert sorted(found(tmp_path, files)) == sorted(expected)


def test_a_program_that_go_has_built_names_its_modules(tmp_path: Path) -> None:
    listed = (
        "path\texample.com/shop\nmod\texample.com/shop\t(devel)\t\n"
        "dep\tgithub.com/gorilla/mux\tv1.8.1\th1:x=\n"
        "dep\told.org/a\tv1.0.0\n=>\tnew.org/a\tv1.1.0\th1:y=\n"
    ) + "".join(f"dep\texample.org/m{n}\tv0.{n}.0\th1:z=\n" for n in range(20))
    program = {"layers/x/bin/shop": go_program(listed)}
    packages = found(tmp_path, program, 0o755)
    assert "golang stdlib 1.22.3" in packages
    assert "golang github.com/gorilla/mux v1.8.1" in packages
    assert "golang new.org/a v1.1.0" in packages
    assert "golang example.org/m19 v0.19.0" in packages
    assert not any("old.org" in one for one in packages)
    assert found(tmp_path, program, 0o644) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("workspace/node_modules/a/package.json", b"[" * 100_000),
        ("workspace/node_modules/a/package.json", b"\xff\xfe"),
        ("workspace/node_modules/a/package.json", b'{"name": "a\\u001b[2J", "version": "1"}'),
        ("workspace/node_modules/a/package.json", b'["a"]'),
        ("lib/a.dist-info/METADATA", b"Name: " + b"x" * 5000 + b"\nVersion: 1\n"),
        ("workspace/vendor/composer/installed.json", b'{"packages": {"a": 1}}'),
        ("workspace/package-lock.json", b'{"packages": [1]}'),
        ("layers/sbom/launch/a/sbom.cdx.json", b'"a"'),
        ("workspace/app.jar", b"PK\x03\x04 no archive"),
    ],
    ids=["deep", "no-utf8", "escape", "list", "long", "composer", "lock", "sbom", "jar"],
)
def test_what_is_not_what_its_name_says_is_told_and_stops_nothing(
    tmp_path: Path, name: str, content: bytes
) -> None:
    facts = read_layer(write(tmp_path, {name: content, **FLASK}), Cancellation())
    assert [p.name for _, p in walk(facts.packages)] == ["flask"]
    assert len(facts.missed) == (0 if content == b'{"packages": {"a": 1}}' else 1)
    assert all(text.startswith(name) for text in facts.missed)


def test_a_bomb_in_an_archive_is_left_out(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("lib/bomb.jar", b"\0" * (130 << 20))
        archive.writestr("META-INF/maven/org.slf4j/slf4j-api/pom.properties", POM)
    facts = read_layer(write(tmp_path, {"app.jar": out.getvalue()}), Cancellation())
    assert [p.name for _, p in walk(facts.packages)] == ["slf4j-api"]
    assert facts.missed == ["app.jar: not all of it could be read"]


def test_what_a_layer_removes_is_kept_with_it(tmp_path: Path) -> None:
    files = {"usr/.wh.share": b"", "etc/.wh..wh..opq": b"", ".wh.root": b""}
    facts = read_layer(write(tmp_path, files), Cancellation())
    assert (facts.gone, facts.emptied) == (["usr/share", "root"], ["etc"])


def test_facts_are_the_same_after_they_were_written_down(tmp_path: Path) -> None:
    facts = read_layer(write(tmp_path, {**DEBIAN, **FLASK}), Cancellation())
    assert LayerFacts.from_document(json.loads(json.dumps(facts.to_document()))) == facts


def test_a_layer_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(b"\x1f\x8b\x08 no gzip")
    with pytest.raises(RegistryError, match="cannot be read as a tar"):
        read_layer(tmp_path / "layer", Cancellation())
    (tmp_path / "cut").write_bytes(write(tmp_path, {**DEBIAN, **FLASK}).read_bytes()[:200])
    with pytest.raises(RegistryError, match="cannot be read as a tar"):
        read_layer(tmp_path / "cut", Cancellation())


SKIPPED = b"\x50\x2a\x4d\x18\x03\0\0\0abc"  # a frame that says nothing of the content (RFC 8878, 3.1.2)


def zstd(content: bytes, window_log: int = 0) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(content) + stream.flush()


@pytest.mark.parametrize(
    "whole",
    [
        pytest.param(zstd, id="in one frame"),
        pytest.param(lambda tar: zstd(tar[:700]) + SKIPPED + zstd(tar[700:]) + SKIPPED, id="in several"),
        pytest.param(lambda tar: SKIPPED + zstd(tar), id="after one to skip"),
    ],
)
def test_a_layer_may_be_compressed_with_zstd(tmp_path: Path, whole: Callable[[bytes], bytes]) -> None:
    (tmp_path / "layer").write_bytes(whole(tar_of({**DEBIAN, **FLASK})))
    facts = read_layer(tmp_path / "layer", Cancellation())
    assert [p.name for _, p in walk(facts.packages)] == ["flask", "debian", "libc6"]


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(lambda tar: zstd(tar, window_log=30), id="a gigabyte of memory"),
        pytest.param(lambda tar: zstd(tar)[:200], id="cut"),
        pytest.param(lambda tar: zstd(tar)[:60] + b"no zstd" * 9, id="spoilt"),
        pytest.param(lambda _: zstd(b"no tar" * 999), id="no tar"),
    ],
)
def test_a_layer_of_zstd_that_cannot_be_read_is_refused(
    tmp_path: Path, spoilt: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "layer").write_bytes(spoilt(tar_of({**DEBIAN, **FLASK})))
    with pytest.raises(RegistryError, match="cannot be read as a tar"):
        read_layer(tmp_path / "layer", Cancellation())


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(tar_of(DEBIAN))
    stop = Cancellation()
    stop.request("enough")
    with pytest.raises(CanceledError):
        read_layer(tmp_path / "layer", stop)
