"""What a job was asked for, as columns of its row, and back."""

from typing import Any

from sqlalchemy import Row

from gitreceive.engines.sql_ledger.documents import (
    config_document,
    config_from,
    options_document,
    options_from,
)
from gitreceive.errors import UnavailableError
from gitreceive.model import (
    AppName,
    Cause,
    CommitId,
    ConfigChange,
    Digest,
    Promotion,
    Push,
    Rebase,
    Redeploy,
    Rollback,
    SettingsChange,
    UserName,
)


def cause_columns(cause: Cause) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind
    """All but the app and the user, which every cause has."""
    match cause:
        case Push(ref=ref, old=old, new=new, options=options, came_to=came_to):
            return _columns(cause, ref, old, new, {**options_document(options), "came_to": came_to})
        case Rebase(stack=stack, version=version, force=force):
            return _columns(cause, options={"stack": stack, "version": version, "force": force})
        case Rollback(to=number):
            return _columns(cause, options={"to": number})
        case Redeploy():
            return _columns(cause)
        case Promotion(origin=origin, number=number, digest=digest):
            return _columns(cause, options={"origin": origin, "number": number, "digest": digest})
        case ConfigChange(values=values, unset=unset):
            return _columns(cause, options={"unset": list(unset)}, secrets=config_document(values))
        case SettingsChange(title=title, patch=patch):
            return _columns(cause, options={"title": title, "patch": dict(patch)})


def cause_from(row: Row[Any]) -> Cause:  # noqa: PLR0911 - one for each kind
    """Raises UnavailableError for a kind that a later version recorded."""
    app, user, asked = AppName(row.app), UserName(row.user), row.options
    match row.kind:
        case Push.kind:
            moved = (row.ref, CommitId(row.old), CommitId(row.new))
            came_to = AppName(asked["came_to"]) if asked.get("came_to") else None
            return Push(app, user, *moved, options_from(asked), came_to)
        case Rebase.kind:
            return Rebase(app, user, asked["stack"], asked["version"], asked["force"])
        case Rollback.kind:
            return Rollback(app, user, asked["to"])
        case Redeploy.kind:
            return Redeploy(app, user)
        case Promotion.kind:
            return Promotion(app, user, AppName(asked["origin"]), asked["number"], Digest(asked["digest"]))
        case ConfigChange.kind:
            return ConfigChange(app, user, config_from(row.secrets), tuple(asked["unset"]))
        case SettingsChange.kind:
            return SettingsChange(app, user, asked["title"], asked["patch"])
        case kind:
            raise UnavailableError(
                f"build {row.id} is a {kind!r}, which this version does not know", hint="run a newer one"
            )


def _columns(
    cause: Cause,
    ref: str = "",
    old: str = "",
    new: str = "",
    options: dict[str, Any] | None = None,
    secrets: dict[str, str] | None = None,
) -> dict[str, Any]:
    asked = {"ref": ref, "old": old, "new": new, "options": options or {}, "secrets": secrets or {}}
    return {"kind": cause.kind, **asked}
