"""What a build's ``failed`` event means in words."""

import re
from collections.abc import Mapping
from typing import Any

from gitreceive.buildpacks.undetected import explain, explain_choice
from gitreceive.engines.docker_builder.transcript import Transcript
from gitreceive.errors import BuildError, DetectError, GitreceiveError, UnavailableError
from gitreceive.lifecycle.folder import Folder
from gitreceive.model import Choice
from gitreceive.ports import BuildRequest, Log

_MOST_HINTS = 3


def failure(
    event: Mapping[str, Any], request: BuildRequest, folder: Folder, transcript: Transcript, log: Log
) -> GitreceiveError:
    """The error to raise; what is too long for it is written to the log."""
    match event.get("kind"):
        case "detect":
            return _undetected(event, request, folder, log)
        case "buildpack":
            return _failed_buildpack(event, folder, transcript, log)
        case "leak":
            return BuildError(
                f"build secret {event['secret']} is in layer {event['layer']}: {event['file']}",
                hint="nothing was published or cached; read /platform/secrets, and write the value nowhere",
            )
        case "folder":
            return DetectError(str(event.get("reason")), hint="the operator's buildpacks need a repair")
        case _:
            return UnavailableError(
                f"the build container failed: {event.get('reason')}",
                hint="is its disk full? gitreceive doctor looks at Docker",
            )


def _undetected(event: Mapping[str, Any], request: BuildRequest, folder: Folder, log: Log) -> DetectError:
    names = [f"{entry.name}/" if entry.kind == "directory" else entry.name for entry in request.root]
    if request.choice.group:
        return _misfit(event, request.choice, log)
    explanation = explain(event["verdicts"], event["reasons"], names, folder)
    log.step("No buildpack takes this source")
    for line in explanation.lines:
        log.detail(line)
    return DetectError(explanation.message, hint=explanation.hint)


def _misfit(event: Mapping[str, Any], choice: Choice, log: Log) -> DetectError:
    explanation = explain_choice(event["verdicts"], event["reasons"], choice)
    log.step(f"The buildpacks of {choice.by} do not take this source")
    for line in explanation.lines:
        log.detail(line)
    return DetectError(explanation.message, hint=explanation.hint)


def _failed_buildpack(
    event: Mapping[str, Any], folder: Folder, transcript: Transcript, log: Log
) -> BuildError:
    """What the buildpack said to do comes first; else what it declared for such output, at most three hints."""
    code = event.get("code")
    reason, hint = (event["reason"], "") if event.get("reason") else transcript.last_error()
    known = (declared for b in folder.buildpacks.get(event["buildpack"], ()) for declared in b.hints)
    fitting = dict.fromkeys(text for one in known if (text := one.of(transcript.tail)))
    hint = hint or "\n".join(list(fitting)[:_MOST_HINTS])
    ended = f" (exit {code})" if code is not None else ""
    where = event.get("where") or _in_traceback(str(event.get("path", "")), transcript.tail)
    if where:
        log.detail(f"failed at {where}")
    return BuildError(f"{event['buildpack']} failed{ended}: {reason or 'it said nothing'}", hint=hint)


def _in_traceback(folder: str, output: str) -> str:
    """The last line of a buildpack's own Python in the output's last traceback; empty where there is none."""
    _, found, traceback = output.rpartition("Traceback (most recent call last)")
    frames = (
        re.findall(rf'File "{re.escape(folder)}/([^"]+)", line (\d+)', traceback) if found and folder else []
    )
    return "{}, line {}".format(*frames[-1]) if frames else ""
