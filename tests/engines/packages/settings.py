"""How builds reach the package indexes from here."""

import os

from gitreceive.config import BuildSettings

SETTINGS = BuildSettings(
    ca_bundle=os.environ.get("GITRECEIVE_TEST_CA_BUNDLE", ""),
    env=dict(
        line.split("=", 1) for line in os.environ.get("GITRECEIVE_TEST_BUILD_ENV", "").splitlines() if line
    ),
)
