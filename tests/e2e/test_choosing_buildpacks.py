"""Who says by which buildpacks an app is built: the push, the app's list, project.toml, .buildpacks, the order."""

from collections.abc import Callable

import pytest

from tests.e2e.world import Clone

pytestmark = pytest.mark.e2e

_PROJECT = """\
[_]
schema-version = "0.2"

[io.buildpacks]
exclude = ["/drafts/", "/ci/"]

[[io.buildpacks.group]]
uri = "./ci/stamp"

[[io.buildpacks.group]]
id = "gitreceive/static"

[[io.buildpacks.group]]
id = "shop/sitemap"

[io.buildpacks.group.script]
api = "0.10"
inline = "ls > sitemap.txt && echo \\"sitemap for $SITE\\""

[[io.buildpacks.build.env]]
name = "SITE"
value = "the shop"
"""
_STAMP = {
    "ci/stamp/buildpack.toml": 'api = "0.10"\n[buildpack]\nid = "shop/stamp"\nversion = "1.2"\n',
    "ci/stamp/bin/detect": "#!/bin/sh\n",
    "ci/stamp/bin/build": '#!/bin/sh\necho "stamped for $SITE" | tee stamp.txt\n',
}


def test_a_site_says_itself_by_which_buildpacks_it_is_built_and_others_overrule_it(
    new_app: Callable[[str], Clone],
) -> None:
    site = new_app("static")
    for program in ("detect", "build"):
        path = site.folder / "ci" / "stamp" / "bin" / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o755)
    site.commit("Choose", {**_STAMP, "project.toml": _PROJECT, "drafts/secret.txt": "not yet\n"})
    site.push().ok().says(
        "buildpacks as project.toml says: ./ci/stamp, gitreceive/static, shop/sitemap@0.0.0",
        "Detected: shop/stamp 1.2, gitreceive/static 0.1.0, shop/sitemap 0.0.0",
        "stamped for the shop",
        "sitemap for the shop",
    )
    assert site.get("/stamp.txt") == "stamped for the shop\n"
    assert "stamp.txt" in site.get("/sitemap.txt")
    site.get("/drafts/secret.txt", status=404)
    site.get("/ci/stamp/buildpack.toml", status=404)

    ssh = site.owner.ssh
    assert (
        ssh("buildpacks", "set", site.app, "nodejs", "static").ok().out
        == "gitreceive/nodejs\ngitreceive/static\n"
    )
    live = site.remote_head()
    site.commit("Go on")
    site.push().failed().says(
        "buildpacks as the app's list says, in place of project.toml: gitreceive/nodejs, gitreceive/static",
        "the app's list: gitreceive/nodejs 0.1.0 does not take it",
        "buildpacks list",
    )
    assert site.remote_head() == live

    site.push("-o", "buildpack=static").ok().says(
        "buildpacks as -o buildpack=static says, in place of the app's list and project.toml: static"
    )
    site.get("/stamp.txt", status=404)

    ssh("buildpacks", "clear", site.app).ok()
    site.replace("project.toml", '"0.2"', '"0.9"')
    site.push().failed().says("project.toml: [_]: schema-version is '0.9'", 'write schema-version = "0.2"')

    site.git("rm", "--quiet", "project.toml").ok()
    site.commit("List them", {".buildpacks": "# as at Heroku\ngitreceive/static\n./ci/stamp\n"})
    site.push().ok().says("buildpacks as .buildpacks says: gitreceive/static, ./ci/stamp")
    assert site.get("/stamp.txt") == "stamped for \n"
