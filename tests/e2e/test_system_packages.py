"""What a developer meets whose app needs Debian packages."""

import secrets
from collections.abc import Callable

import pytest

from tests.e2e.containers import containers_started
from tests.e2e.world import Clone, Server

pytestmark = pytest.mark.e2e


def test_an_app_runs_what_its_aptfile_names_and_only_a_change_of_it_asks_for_a_build(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("system-packages")
    shop.push().ok().says("ystem packages: figlet, libsodium23", "v1 is live after")
    assert "version 1" in shop.get()

    shop.replace("app.py", 'VERSION = "1"', 'VERSION = "2"')
    with containers_started({"gitreceive.app": shop.app, "gitreceive.job": None}) as second:
        shop.push().ok().says(
            "System packages: figlet, libsodium23 (installed before, ", "No build needed", "v2 is live after"
        )
    assert second == []
    assert "version 2" in shop.get()
    assert "libsodium 1." in shop.get()

    shop.commit("One package more", {"Aptfile": "figlet\nlibsodium23\nlibsodium-dev\n"})
    push = shop.push().ok()
    push.says("Installing system packages: figlet, libsodium-dev, libsodium23 (first use", "v3 is live after")
    push.does_not_say("No build needed")


def test_an_app_that_crashes_for_want_of_a_library_is_pointed_to_the_aptfile(
    new_app: Callable[[str], Clone],
) -> None:
    shop = new_app("system-packages")
    shop.commit("Forget the packages", {"Aptfile": "# libsodium23\n"})

    push = shop.push().failed()

    push.says("cannot open shared object file", "libsodium.so.23 is a system library", "into an Aptfile")
    push.does_not_say("ystem packages:")


def test_a_package_that_there_is_not_is_refused_with_its_line(docker_server: Server) -> None:
    shop = docker_server.developer("alice").creates(f"shop-{secrets.token_hex(3)}", "system-packages")
    shop.commit("A slip", {"Aptfile": "# one\nfiglet\nlibpqq5\n"})

    push = shop.push().failed()

    push.says('Aptfile line 3: there is no package "libpqq5" in Debian', "libpq5", "! [remote rejected]")
    shop.commit("An option", {"Aptfile": "-y figlet\n"})
    shop.push().failed().says("Aptfile line 1: '-y figlet' is not a Debian package", "options are not taken")
