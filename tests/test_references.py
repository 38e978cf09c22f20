import pytest

from gitreceive.errors import UsageError
from gitreceive.model import BuildpackRef, RefKind

DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("text", "identity", "version"),
    [
        ("python", "python", ""),
        ("gitreceive/python", "gitreceive/python", ""),
        ("gitreceive/python@0.1.0", "gitreceive/python", "0.1.0"),
        ("heroku/ruby@latest", "heroku/ruby", ""),
        ("urn:cnb:builder:gitreceive/python@0.1.0", "gitreceive/python", "0.1.0"),
        ("urn:buildpack:gitreceive/python", "gitreceive/python", ""),
    ],
)
def test_an_id_may_have_a_version(text: str, identity: str, version: str) -> None:
    ref = BuildpackRef.parse(text)
    assert (ref.kind, ref.id, ref.version) == (RefKind.KNOWN, identity, version)
    assert ref.pinned


@pytest.mark.parametrize(
    ("text", "path"), [("./ci/pack", "ci/pack"), ("./ci/pack/", "ci/pack"), ("./", ""), (".", "")]
)
def test_a_path_is_a_folder_of_the_source(text: str, path: str) -> None:
    ref = BuildpackRef.parse(text)
    assert (ref.kind, ref.path, ref.text) == (RefKind.FOLDER, path, f"./{path}")


def test_a_uri_without_scheme_is_a_path() -> None:
    assert BuildpackRef.parse_uri("ci/pack/") == BuildpackRef.parse("./ci/pack")
    assert BuildpackRef.parse_uri("docker://r:5000/a").kind is RefKind.IMAGE


@pytest.mark.parametrize("text", ["../other", "./a/../../b", "/etc", "./a\\b", ".."])
def test_no_path_leaves_the_source(text: str) -> None:
    with pytest.raises(UsageError, match="outside the source"):
        BuildpackRef.parse(text)


@pytest.mark.parametrize(
    ("text", "kind", "pinned"),
    [
        (f"docker://127.0.0.1:5000/packs/go@sha256:{DIGEST}", RefKind.IMAGE, True),
        ("docker://registry.example/packs/go:1.2", RefKind.IMAGE, False),
        (f"docker://registry.example/packs/go:1.2@sha256:{DIGEST}", RefKind.IMAGE, True),
        (f"https://files.example/go.tgz#sha256={DIGEST}", RefKind.ARCHIVE, True),
        ("https://files.example/go.tgz?raw=1", RefKind.ARCHIVE, False),
    ],
)
def test_what_lies_elsewhere_is_pinned_or_not(text: str, kind: RefKind, pinned: bool) -> None:
    ref = BuildpackRef.parse(text)
    assert (ref.kind, ref.pinned, ref.text) == (kind, pinned, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " python",
        "python\n",
        "-python",
        "pyth on",
        "python@",
        "python@1@2",
        "python;id",
        "docker://",
        "docker://host",
        "docker://host/UPPER",
        f"docker://host/a@sha256:{'a' * 63}",
        "urn:cnb:registry:a/b",
        "file:///etc",
        "ssh://git@host/x",
        "https://host",
        f"https://host/x#sha256={'a' * 63}",
        "x" * 1001,
        "pyth\x1b[31mon",
    ],
)
def test_what_is_no_reference_is_told_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        BuildpackRef.parse(text)
    assert "docker://HOST/REPOSITORY@sha256:DIGEST" in caught.value.hint


def test_an_address_holds_no_password() -> None:
    with pytest.raises(UsageError, match="no user and no password") as caught:
        BuildpackRef.parse("https://ada:s3cr3t@files.example/go.tgz")
    assert "s3cr3t" not in caught.value.message
