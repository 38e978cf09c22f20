"""What a push's app.json asks for, read from the commit before anything is built."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gitreceive.appjson.beginning import begin
from gitreceive.appjson.description import AppJson
from gitreceive.appjson.reading import LARGEST, parse_app_json
from gitreceive.appjson.values import FILE
from gitreceive.model import AppSettings, Push, Secret, Source
from gitreceive.stories.chapters import Deployment

_REVIEW = "review"  # the environment that review apps are
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Wishes:
    """``first``: nothing of the app is live yet. Only then there are a config and settings to begin with."""

    asked: AppJson
    first: bool
    config: Mapping[str, Secret] | None = None
    settings: AppSettings | None = None


def read_wishes(deployment: Deployment, push: Push, source: Source) -> Wishes:
    """Raises SourceError for an app.json that is not understood, or that requires config which nobody has set."""
    platform, log = deployment.platform, deployment.log
    app = platform.ledger.app(push.app)
    asked = parse_app_json(platform.sources.read(source, FILE, LARGEST) or b"")
    asked = asked.within(_REVIEW) if app.review else asked
    for notice in asked.notices:
        log.warn(notice)
    if platform.ledger.current_release(app.name) is not None:
        return Wishes(asked, first=False)
    config, settings = platform.ledger.config(app.name), platform.ledger.settings(app.name)
    begun = begin(app.name, asked, config, settings, lambda: secrets.token_hex(_SECRET_BYTES))
    for line in begun.told:
        log.step(line)
    return Wishes(asked, True, begun.config, begun.settings)
