"""From where buildpacks may come: what an entry of the setting holds, and what it does not."""

import pytest

from gitreceive.buildpacks.allowed import Allowed
from gitreceive.errors import ConfigError, ForbiddenError

_D = f"@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("https://host/team", "https://host/team/x.tgz"),
        ("https://host/team/", "https://HOST:443/team/x.tgz"),
        ("https://host", "https://host/x.tgz?y=1"),
        ("https://host/team/x.tgz", "https://host/team/x.tgz#sha256=00"),
        ("http://host:8080/", "http://host:8080/x.tgz"),
        ("docker://host:5000/team", f"docker://host:5000/team/lua{_D}"),
        ("docker://host:5000/team/lua", f"docker://host:5000/team/lua{_D}"),
        ("docker://host:5000/team/lua", f"docker://host:5000/team/lua:1.0{_D}"),
        ("docker://docker.io/heroku", f"docker://heroku/nodejs{_D}"),
        ("https://[::1]:8443/", "https://[::1]:8443/x.tgz"),
    ],
)
def test_an_entry_holds_what_begins_with_it(entry: str, address: str) -> None:
    allowed = Allowed.parse([entry])
    assert allowed.check(address)
    assert allowed.lists(address)


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("https://host/team", "https://host/teams/x.tgz"),
        ("https://host/team", "https://host.evil/team/x.tgz"),
        ("https://host/team", "https://host:8443/team/x.tgz"),
        ("https://host/team", "http://host/team/x.tgz"),
        ("https://host/team", "https://other/team/x.tgz"),
        ("docker://host:5000/team", f"docker://host:5000/teams/lua{_D}"),
        ("docker://host:5000/team", f"docker://host/team/lua{_D}"),
        ("docker://docker.io/heroku", f"docker://library{_D}"),
    ],
)
def test_an_entry_holds_nothing_that_only_looks_alike(entry: str, address: str) -> None:
    allowed = Allowed.parse([entry])
    assert not allowed.lists(address)
    with pytest.raises(ForbiddenError):
        allowed.check(address)


@pytest.mark.parametrize(
    "path", ["/team/../x", "/team/%2e%2e/x", "/team/%2E./x", "/team\\..\\x", "/team/..%2fx"]
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str) -> None:
    with pytest.raises(ForbiddenError, match="its path is not plain"):
        Allowed.parse(["https://host/team", "public"]).check(f"https://host{path}")


def test_public_is_https_and_any_registry_but_names_no_place() -> None:
    allowed = Allowed.parse(["public"])
    assert not allowed.check("https://host/x.tgz")
    assert not allowed.check(f"docker://host/x{_D}")
    assert not allowed.lists("https://host/x.tgz")
    with pytest.raises(ForbiddenError, match="plain HTTP"):
        allowed.check("http://host/x.tgz")


def test_without_public_only_what_is_listed_may_be_fetched() -> None:
    with pytest.raises(ForbiddenError, match="fetches no buildpacks from host") as caught:
        Allowed.parse([]).check("https://host/x.tgz")
    assert "build.buildpack_sources" in caught.value.hint


@pytest.mark.parametrize(
    "entry", ["host/team", "ftp://host/", "https://", "*", "https://me:secret@host/", "https://host/../x"]
)
def test_an_entry_that_can_be_none_is_named(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"build\.buildpack_sources"):
        Allowed.parse([entry])
