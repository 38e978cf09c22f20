"""What visitors are shown in place of the app, while it is worked on."""

from dataclasses import dataclass
from typing import Any, Self

from gitreceive.model.builds import ImageRef
from gitreceive.model.documents import flag, table, text

LARGEST_PAGE = 256 << 10  # bytes of UTF-8
RETRY_SECONDS = 60  # when visitors are asked to come again (RFC 9110, 10.2.3)
_DEFAULT_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Back soon</title>
<body style="font: 1.1em/1.5 system-ui, sans-serif; max-width: 32em; margin: 20vh auto; padding: 0 1em">
<h1>Back soon</h1>
<p>This site is being worked on. Please come again in a few minutes.</p>
"""


@dataclass(frozen=True)
class Maintenance:
    """``page`` is HTML, empty for the one that comes with gitreceive. ``image`` has Python and serves it where no front of the server's
    own stands before the app: its processes go on, and nobody is led to them.
    """

    on: bool = False
    page: str = ""
    image: ImageRef | None = None

    @classmethod
    def parse(cls, document: object) -> Self:
        """What ``document`` wrote. Raises UsageError."""
        found = table(document, "maintenance", frozenset({"on", "page", "image"}))
        image = text(found.get("image", ""), "maintenance.image")
        return cls(
            flag(found.get("on", False), "maintenance.on"),
            text(found.get("page", ""), "maintenance.page", LARGEST_PAGE),
            ImageRef.parse(image) if image else None,
        )

    def document(self) -> dict[str, Any]:
        return {"on": self.on, "page": self.page, "image": str(self.image) if self.image else ""}

    @property
    def shown(self) -> str:
        """The page as visitors get it."""
        return self.page or _DEFAULT_PAGE
