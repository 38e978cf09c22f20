"""Nothing that a user names leads the server to a private address."""

import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from gitreceive.addresses import is_public
from gitreceive.engines.buildpackages import PublicWay
from gitreceive.errors import ConfigError, ForbiddenError
from tests.engines.web_server import Page, Web, make_certificate, serving


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


def _client(free: Callable[[str], bool] = lambda _: False, **environment: str) -> httpx.Client:
    way = PublicWay(environment, "", free)
    return httpx.Client(transport=way, trust_env=False, follow_redirects=True, timeout=5)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.17.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("fec0::1", False),
        ("192.0.0.192", False),
        ("168.63.129.16", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
    ],
)
def test_only_ordinary_addresses_of_the_internet_are_public(text: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(text)) is public


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "127.1", "0x7f000001", "2130706433", "[::ffff:7f00:1]"]
)
def test_this_machine_is_not_asked_however_it_is_written(host: str) -> None:
    with _client() as client, pytest.raises(ForbiddenError) as caught:
        client.get(f"https://{host}:1/")
    assert "private address" in caught.value.message
    assert "build.buildpack_sources" in caught.value.hint


def test_plain_http_is_not_spoken_to_strangers(web: Web) -> None:
    with _client() as client, pytest.raises(ForbiddenError, match="plain HTTP"):
        client.get(web.put("/x", Page(b"x")))
    assert not web.asked


def test_what_is_free_is_asked_wherever_it_is(web: Web) -> None:
    with _client(lambda url: url.startswith(web.url)) as client:
        assert client.get(web.put("/x", Page(b"x"))).content == b"x"


def test_a_redirect_leads_no_further_than_a_name_does(web: Web) -> None:
    first = web.put("/free/x", Page(status=302, headers={"Location": f"{web.url}/inner"}))
    web.put("/inner", Page(b"secret"))
    with _client(lambda url: url.startswith(f"{web.url}/free/")) as client:
        with pytest.raises(ForbiddenError):
            client.get(first)
        web.put("/free/x", Page(status=302, headers={"Location": "https://169.254.169.254/latest"}))
        with pytest.raises(ForbiddenError, match=r"169\.254\.169\.254"):
            client.get(first)
        web.put("/free/x", Page(status=302, headers={"Location": "y"}))
        web.put("/free/y", Page(b"y"))
        assert client.get(first).content == b"y"
    assert [path for path, _ in web.asked].count("/inner") == 0


def test_the_environments_proxy_is_asked_in_place_of_what_is_free(web: Web) -> None:
    web.put("http://shop.example/x", Page(b"by proxy"))
    with _client(lambda _: True, http_proxy=web.url) as client:
        assert client.get("http://shop.example/x").content == b"by proxy"


def test_no_proxy_and_this_machine_are_exempt_from_it(web: Web) -> None:
    here = web.put("/x", Page(b"x"))
    with _client(lambda _: True, HTTP_PROXY="http://127.0.0.1:1") as client:
        assert client.get(here).content == b"x"
    with (
        _client(lambda _: True, http_proxy=web.url, no_proxy="example") as client,
        pytest.raises(httpx.ConnectError),
    ):
        client.get("http://nobody.example/x")
    assert len(web.asked) == 1


@pytest.mark.parametrize("host", ["localhost", "10.0.0.1", "[::1]"])
def test_a_proxy_is_not_sent_to_what_is_written_as_private(web: Web, host: str) -> None:
    with _client(https_proxy=web.url, all_proxy=web.url) as client, pytest.raises(ForbiddenError):
        client.get(f"https://{host}/")
    assert not web.asked


def test_a_certificate_bundle_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    way = PublicWay({}, str(tmp_path / "ca.pem"), lambda _: True)
    with (
        httpx.Client(transport=way, trust_env=False) as client,
        pytest.raises(ConfigError, match=r"ca\.pem cannot be read"),
    ):
        client.get("https://127.0.0.1:1/")


def test_over_tls_the_name_is_what_the_certificate_is_for_whatever_address_is_asked(tmp_path: Path) -> None:
    """``public`` says here that this machine is; all else is as it is for strangers."""
    ca = make_certificate(tmp_path / "right.pem")
    with serving(ca) as web:
        url = web.put("/x", Page(status=302, headers={"Location": "y"}))
        web.put("/y", Page(b"y"))
        for bundle, environment in ((str(ca), {}), ("", {"SSL_CERT_FILE": str(ca)})):
            way = PublicWay(environment, bundle, lambda _: False, lambda _: True)
            with httpx.Client(transport=way, trust_env=False, follow_redirects=True) as client:
                answer = client.get(url)
            assert (answer.content, str(answer.url)) == (b"y", f"{web.url}/y")
        assert {headers["Host"] for _, headers in web.asked} == {web.url.removeprefix("https://")}
    wrong = make_certificate(tmp_path / "wrong.pem", "other.example")
    with serving(wrong) as web:
        way = PublicWay({}, str(wrong), lambda _: False, lambda _: True)
        with httpx.Client(transport=way, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                client.get(web.put("/x", Page()))
            way_untrusting = PublicWay({}, "", lambda _: False, lambda _: True)
            with (
                httpx.Client(transport=way_untrusting, trust_env=False) as stranger,
                pytest.raises(httpx.ConnectError),
            ):
                stranger.get(web.url)
        assert not web.asked


def test_every_address_of_a_name_has_to_be_public(web: Web) -> None:
    asked: list[object] = []

    def public(address: object) -> bool:
        asked.append(address)
        return False

    way = PublicWay({}, "", lambda _: False, public)
    with (
        httpx.Client(transport=way, trust_env=False) as client,
        pytest.raises(ForbiddenError, match="has a private address"),
    ):
        client.get("https://localhost/")
    assert asked
