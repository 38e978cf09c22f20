"""What an app is bound to, as it is typed."""

from typing import Any

import pytest

from gitreceive.cli.services import require_names, secret_row
from gitreceive.errors import ConflictError
from gitreceive.jobs import JobRunner
from gitreceive.model import AppName
from tests.cli.conftest import Cli
from tests.cli.people import has_key
from tests.cli.place import Place
from tests.fakes import FakeTarget

SHOP = AppName("shop")
_NO_SERVICE = {"service": None, "kind": None}
URL = "postgres://shop:canary@db.example.com/shop"


@pytest.fixture
def live(place: Place) -> Place:
    place.live("shop")
    place.target.live[SHOP] = place.ledger.release(SHOP, 1)
    return place


def config(place: Place) -> dict[str, str]:
    return {name: value.reveal() for name, value in place.ledger.config(SHOP).items()}


def test_values_are_config_and_known_as_bound(cli: Cli, live: Place, runner: JobRunner) -> None:
    cli("config", "set", "shop", "LEVEL=debug").ok()
    said = cli("services", "bind", "shop", f"DATABASE_URL={URL}").ok()
    assert "canary" not in said.out + said.err
    assert "shop v3 is live after" in said.err
    assert config(live) == {"LEVEL": "debug", "DATABASE_URL": URL}
    assert live.target.live[SHOP].config["DATABASE_URL"].reveal() == URL
    row = {"by": "value", **_NO_SERVICE, "secret": None, "variables": ["DATABASE_URL"], "state": "set"}
    assert cli("services", "list", "shop", "--json").ok().json() == [row]
    again = cli("services", "bind", "--app", "shop", f"DATABASE_URL={URL}", "--json").ok().json()
    assert (again["result"], again["release"]) == ("unchanged", None)
    cli("services", "unbind", "shop", "LEVEL").failed(3, "'LEVEL' is not bound")
    done = cli("services", "unbind", "shop", "DATABASE_URL", "--json").ok().json()
    assert (done["result"], done["release"]) == ("live", 4)
    assert config(live) == {"LEVEL": "debug"}
    assert "bound to nothing" in cli("services", "list", "shop").ok().err


def test_what_is_set_already_is_only_marked(cli: Cli, live: Place, runner: JobRunner) -> None:
    cli("config", "set", "shop", "REDIS_URL=redis://r").ok()
    done = cli("services", "bind", "shop", "REDIS_URL=redis://r", "--json").ok().json()
    assert (done["result"], done["release"]) == ("live", None)
    assert live.ledger.settings(SHOP).services.bound == {"REDIS_URL"}


def test_a_value_is_read_from_standard_input_and_kept_for_the_first_release(cli: Cli, place: Place) -> None:
    said = cli("services", "bind", "shop", "DATABASE_URL", "--stdin", stdin=URL).ok().err
    assert "Kept for the first release of shop: bind DATABASE_URL" in said
    assert config(place) == {"DATABASE_URL": URL}
    assert place.ledger.settings(SHOP).services.bound == {"DATABASE_URL"}


def test_docker_has_no_secrets_to_bind(cli: Cli, live: Place) -> None:
    refused = cli("services", "bind", "shop", "--secret", "shop-postgres")
    refused.failed(refused.code, "the docker target has no Secrets", "services bind NAME=VALUE")
    assert refused.code != 0
    cli("services", "unbind", "shop", "--secret", "x").failed(3, "not bound to a Secret 'x'")
    assert live.ledger.settings(SHOP).runtime.secrets == {}


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("bind", "shop"), 2, "nothing is named"),
        (("bind", "shop", "PORT=1"), 2, "PORT is given to every process"),
        (("bind", "shop", "A=1", "--prefix", "X_"), 2, "--prefix is for --secret alone"),
        (("bind", "shop", "A", "--stdin", "--secret", "x"), 2, "two ways"),
        (("bind", "shop", "--secret", "No Secret"), 2, "is no name of a Secret"),
        (("unbind", "shop", "A"), 3, "'A' is not bound"),
        (("unbind", "--app", "shop"), 2, "nothing is named"),
    ],
)
def test_what_cannot_be_bound_is_refused(
    cli: Cli, live: Place, words: tuple[str, ...], code: int, text: str
) -> None:
    cli("services", *words).failed(code, text)
    assert config(live) == {}


def test_services_are_for_who_configures_the_app(cli: Cli, live: Place) -> None:
    has_key(live.ledger, "vera")
    cli("access", "add", "shop", "vera", "--role", "viewer").ok()
    cli("services", "list", "shop", acting="vera").ok()
    cli("services", "bind", "shop", "A=1", acting="vera").failed(5, "vera may not configure shop")
    cli("services", "bind", "shop", "--secret", "x", acting="vera").failed(5, "vera may not configure shop")


def test_a_bound_secret_is_told_by_the_names_it_gives() -> None:
    target = FakeTarget(secrets={"shop-postgres": ("HOST", "PORT")})
    row = {
        "by": "secret",
        **_NO_SERVICE,
        "secret": "shop-postgres",
        "variables": ["PG_HOST", "PG_PORT"],
        "state": "there",
    }
    assert secret_row(target, SHOP, "shop-postgres", "PG_") == row
    gone: dict[str, Any] = {
        "by": "secret",
        **_NO_SERVICE,
        "secret": "gone",
        "variables": [],
        "state": "missing",
    }
    assert secret_row(target, SHOP, "gone", "") == gone


def test_keys_that_cannot_name_a_variable_are_left_out_and_it_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_names("shop-postgres", ["HOST", "tls.crt"])
    assert "what cannot name a variable is left out: tls.crt" in capsys.readouterr().err
    with pytest.raises(ConflictError, match="nothing in Secret certs can name a variable"):
        require_names("certs", ["tls.crt", "tls.key"])
