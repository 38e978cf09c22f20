"""The words of gitreceive as frozen, typed values. What is parsed here is never handled raw behind it."""

from gitreceive.model.builds import (
    Blob,
    Build,
    Image,
    ImageRef,
    Layer,
    ProcessType,
    Source,
    SourceEntry,
    Stack,
    TreeEntry,
)
from gitreceive.model.choices import MOST_BUILDPACKS, Choice, InlineBuildpack, Project, Wanted
from gitreceive.model.names import (
    ZERO_COMMIT,
    AppName,
    CommitId,
    Digest,
    Secret,
    UserName,
)
from gitreceive.model.people import (
    App,
    PublicKey,
    User,
)
from gitreceive.model.pushes import (
    Job,
    JobId,
    JobState,
    Push,
    PushOptions,
)
from gitreceive.model.references import BuildpackRef, RefKind
from gitreceive.model.releases import (
    RELEASE_PROCESS,
    WEB_PROCESS,
    Check,
    LogLine,
    LogQuery,
    ProcessStatus,
    Release,
)

__all__ = [
    "MOST_BUILDPACKS",
    "RELEASE_PROCESS",
    "WEB_PROCESS",
    "ZERO_COMMIT",
    "App",
    "AppName",
    "Blob",
    "Build",
    "BuildpackRef",
    "Check",
    "Choice",
    "CommitId",
    "Digest",
    "Image",
    "ImageRef",
    "InlineBuildpack",
    "Job",
    "JobId",
    "JobState",
    "Layer",
    "LogLine",
    "LogQuery",
    "ProcessStatus",
    "ProcessType",
    "Project",
    "PublicKey",
    "Push",
    "PushOptions",
    "RefKind",
    "Release",
    "Secret",
    "Source",
    "SourceEntry",
    "Stack",
    "TreeEntry",
    "User",
    "UserName",
    "Wanted",
]
