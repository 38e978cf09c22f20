import click

from gitreceive import config, wiring
from gitreceive.cli.common import (
    Group,
    app_option,
    as_json,
    duration,
    open_ledger,
    own_app,
    print_json,
    print_table,
    seconds,
)
from gitreceive.cli.recording import nothing_changed
from gitreceive.errors import UsageError
from gitreceive.model import App, Permission, Release, ReviewRules, parse_config_name

_SHORTEST, _LONGEST = 60, 365 * 86400


@click.group("reviews", cls=Group)
def command() -> None:
    """Review apps: each shows one branch of an app at an address of its own.

    git push -o review deploy BRANCH makes one; further pushes of the branch deploy to it. It goes when the branch is deleted (git push deploy
    :BRANCH), when it is destroyed (apps destroy), with its app, and some time after the last push.
    """


@command.command("list")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@as_json
def list_(name: str | None, app: str | None, as_json: bool) -> None:
    """The review apps of APP: which branch each shows, where, and how long it stays.

    \b
    Example:
      gitreceive reviews list shop
    """
    with open_ledger() as ledger:
        of = own_app(ledger, name or app)
        found = [(review, ledger.current_release(review.name)) for review in ledger.reviews(of.name)]
    target = wiring.target(config.load())
    facts = [
        _facts(review, release, target.url(review.name) if release else None) for review, release in found
    ]
    if as_json:
        print_json(facts)
        return
    print_table(
        ("app", "branch", "release", "until", "address"),
        [
            (fact["name"], fact["branch"], fact["release"] or "-", fact["until"], fact["url"] or "-")
            for fact in facts
        ],
        f"There are none: git push -o review {of.name} BRANCH",
    )


def _facts(app: App, release: Release | None, url: str | None) -> dict[str, object]:
    return {
        "name": app.name,
        "branch": app.branch,
        "release": release.label if release else None,
        "commit": release.commit if release else None,
        "url": url,
        "until": app.review.until.isoformat(timespec="seconds") if app.review else None,
    }


@command.command("set")
@click.argument("name", metavar="[APP]", required=False)
@app_option
@click.option("--on/--off", "wanted", default=None, help="Whether each branch that is pushed gets one.")
@click.option("--lifetime", metavar="TIME", help="How long one stays after the last push: 12h, 5d.")
@click.option(
    "--inherit",
    metavar="NAMES",
    help="Variables whose values they are given, with commas between them; '' for none.",
)
@as_json
def set_(
    name: str | None,
    app: str | None,
    wanted: bool | None,
    lifetime: str | None,
    inherit: str | None,
    as_json: bool,
) -> None:
    """How the review apps of APP are made from now on; without options, how they are.

    A review app begins with what app.json says for the environment review, and with the values of those variables that are named here. No other
    value of the app's config leaves it.

    \b
    Examples:
      gitreceive reviews set shop --on --lifetime 2d
      gitreceive reviews set shop --inherit MAIL_HOST,LOG_LEVEL
    """
    with open_ledger() as ledger:
        of = own_app(ledger, name or app, Permission.CONFIGURE)
        if of.review:
            raise UsageError(f"{of.name} is a review app itself", hint=f"set it for {of.review.of}")
        rules = ReviewRules(
            of.reviews.wanted if wanted is None else wanted,
            of.reviews.seconds if lifetime is None else _lifetime(lifetime),
            of.reviews.inherit if inherit is None else _names(inherit),
        )
        if rules != of.reviews:
            ledger.set_reviews(of.name, of.reviews, rules)
        else:
            nothing_changed()
    if as_json:
        print_json(
            {"app": of.name, "on": rules.wanted, "lifetime": rules.seconds, "inherit": list(rules.inherit)}
        )
        return
    made = (
        "of each branch that is pushed" if rules.wanted else "where a push asks for one: git push -o review"
    )
    click.echo(f"made          {made}")
    click.echo(f"lifetime      {duration(rules.seconds)} after the last push")
    click.echo(f"inherit       {', '.join(rules.inherit) or '-'}")


def _lifetime(text: str) -> int:
    found = int(seconds(text) or 0)
    if not _SHORTEST <= found <= _LONGEST:
        raise UsageError(f"{text} is not between {_SHORTEST} s and a year", hint="write 12h or 5d")
    return found


def _names(text: str) -> tuple[str, ...]:
    """Raises UsageError."""
    names = dict.fromkeys(name.strip() for name in text.split(",") if name.strip())
    return tuple(parse_config_name(name) for name in names)
