"""Everything that can go wrong, as one tree.

    GitreceiveError            1   what happened, why, and what to do next
    ├── UsageError             2   the command or its argument is not understood
    ├── NotFoundError          3   no such app, build, key, release
    ├── ConflictError          4   it exists already, or somebody was first
    ├── ForbiddenError         5   this user may not
    ├── ConfigError            6   gitreceive.toml or the environment is wrong
    ├── UnavailableError       7   a part the server stands on does not answer (git, Docker, disk)
    │   ├── BrokenOffError    70   … any more, in the middle of what may be done again from its beginning
    │   └── EngineAwayError   71   … at all, as nobody is there: it may come back, and then what it was asked for can be asked again
    ├── CanceledError          8   somebody stopped it
    ├── LeaseLostError         9   another server has taken the job over
    ├── SourceError           10   what was pushed cannot be deployed
    │   ├── StaleError        11   the branch moved while the push waited
    │   └── PolicyError       12   the push breaks a rule of this server
    ├── DetectError           20   no buildpack takes it, or one is broken
    ├── BuildError            30   a buildpack or a Dockerfile failed
    │   └── BuildLimitError   31   it ran into a limit: time, memory, disk
    ├── RegistryError         40   the registry refused or did not answer
    ├── RolloutError          50   the release did not become healthy
    ├── RebaseError           60   the release cannot be put on another run image
    └── InternalError         90   a fault of gitreceive's own

The number is the exit code; it names the phase. Only the command line exits. SDK exceptions are mapped to these at the
edge of ``engines/`` and never leave it.
"""

from typing import ClassVar


class GitreceiveError(Exception):
    """One line of what and why, and in ``hint`` what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GitreceiveError):
    exit_code = 2


class NotFoundError(GitreceiveError):
    exit_code = 3


class ConflictError(GitreceiveError):
    exit_code = 4


class ForbiddenError(GitreceiveError):
    exit_code = 5


class ConfigError(GitreceiveError):
    exit_code = 6


class UnavailableError(GitreceiveError):
    exit_code = 7


class BrokenOffError(UnavailableError):
    exit_code = 70


class EngineAwayError(UnavailableError):
    exit_code = 71


class CanceledError(GitreceiveError):
    exit_code = 8


class LeaseLostError(GitreceiveError):
    exit_code = 9


class SourceError(GitreceiveError):
    exit_code = 10


class StaleError(SourceError):
    exit_code = 11


class PolicyError(SourceError):
    exit_code = 12


class DetectError(GitreceiveError):
    exit_code = 20


class BuildError(GitreceiveError):
    exit_code = 30


class BuildLimitError(BuildError):
    exit_code = 31


class RegistryError(GitreceiveError):
    exit_code = 40


class RolloutError(GitreceiveError):
    exit_code = 50


class RebaseError(GitreceiveError):
    exit_code = 60


class InternalError(GitreceiveError):
    exit_code = 90


def cause(error: BaseException) -> str:
    """The system's own words at the bottom of a library's error (``Connection refused``); else what the error says itself."""
    pending, seen = [error], set()
    while pending:
        one = pending.pop()
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        seen.add(id(one))
        below = (*one.args, one.__cause__, one.__context__)
        pending += [e for e in below if isinstance(e, BaseException) and id(e) not in seen]
    return str(error)
