"""What is refused at the door, and how it is said. The target does not matter here."""

from pathlib import Path

import pytest

from tests.e2e.world import Clone, Developer, Server, run

pytestmark = [pytest.mark.e2e, pytest.mark.docker]


@pytest.fixture
def bob(docker_server: Server) -> Developer:
    return docker_server.developer("bob")


@pytest.fixture
def shop(bob: Developer, app_name: str) -> Clone:
    return bob.creates(app_name, "procfile-worker")


def test_another_branch_is_refused_with_the_command_that_deploys_it(shop: Clone) -> None:
    shop.git("switch", "--quiet", "-c", "topic").ok()
    push = shop.git("push", "deploy", "topic").failed()
    push.says("topic", "git push", "topic:main", "! [remote rejected]")
    assert shop.builds() == []


def test_an_unknown_push_option_is_refused_with_the_known_ones(shop: Clone) -> None:
    shop.push("-o", "colour=red").failed().says("colour=red", "-o nocache", "-o buildpack=REFERENCE")
    assert shop.builds() == []


def test_a_buildpack_by_option_must_exist(shop: Clone) -> None:
    shop.push("-o", "buildpack=cobol").failed().says("cobol", "gitreceive/python", "! [remote rejected]")


def test_deleting_the_deploy_branch_is_refused(shop: Clone) -> None:
    shop.push().ok()
    shop.git("push", "deploy", ":main").failed().says("! [remote rejected]")
    assert shop.remote_head() == shop.head


def test_a_tag_is_kept_and_deploys_nothing(shop: Clone) -> None:
    shop.push().ok()
    shop.git("tag", "v1.0").ok()
    shop.git("push", "deploy", "v1.0").ok().says("tag", "v1.0")
    assert len(shop.builds()) == 1


def test_a_push_of_what_is_live_says_so_and_builds_nothing(shop: Clone) -> None:
    shop.push().ok()
    shop.push().ok().says("Everything up-to-date")
    assert len(shop.builds()) == 1


def test_an_older_commit_is_deployed_by_force_only(shop: Clone) -> None:
    first = shop.head
    shop.push().ok()
    shop.commit("Second")
    shop.push().ok()
    shop.git("push", "deploy", f"{first}:main").failed().says("rejected")
    shop.git("push", "--force", "deploy", f"{first}:main").ok().says("v3 is live")
    assert shop.remote_head() == first


def test_a_clone_of_depth_one_deploys(shop: Clone, bob: Developer, tmp_path: Path) -> None:
    shop.commit("Second")
    shallow = Clone(bob, shop.app, tmp_path / "shallow")
    run(
        ["git", "clone", "--quiet", "--depth", "1", f"file://{shop.folder}", str(shallow.folder)], env=bob.env
    ).ok()
    shallow.git("push", shop.url, "main").ok().says("v1 is live")
    assert shop.remote_head() == shop.head


def test_an_undetected_source_is_told_what_was_looked_for(bob: Developer, app_name: str) -> None:
    clone = bob.creates(app_name, "undetected")
    push = clone.push().failed()
    push.says("gitreceive/nodejs", "gitreceive/python", "gitreceive/java", "gitreceive/static")
    push.says("requirments.txt")
    push.says("requirements.txt", "! [remote rejected]", "no buildpack")


def test_an_app_that_does_not_exist_is_refused_with_the_command_that_makes_it(shop: Clone) -> None:
    shop.git("push", shop.url + "-2", "main").failed().says(f"{shop.app}-2", f"apps create {shop.app}-2")


def test_someone_elses_app_is_refused(shop: Clone) -> None:
    carol = shop.owner.server.developer("carol")
    push = Clone(carol, shop.app, shop.folder).push().failed()
    push.says("carol may not push")
    carol.ssh("builds", "list", "--app", shop.app).failed().says("carol may not see")


def test_a_stranger_gets_nowhere(shop: Clone) -> None:
    stranger = Developer(shop.owner.server, "mallory", shop.owner.server.folder / "key-mallory")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger.key)]).ok()
    stranger.ssh("apps", "list").failed().says("Permission denied")
    stranger.key.unlink()
