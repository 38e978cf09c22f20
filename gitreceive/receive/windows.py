"""A channel's window that counts what nobody has read yet (RFC 4254, section 5.2).

When a reader that had paused takes one piece, asyncssh (2.24) opens the window anew for all that it still holds. A client that is quicker than
what it sends to is then let send more and more, and the server's memory grows with it.
"""

from typing import Any


def hold_to_window(channel: Any) -> None:
    """No more is held of what its client sends than its window. To be called before anything has come."""
    accept, deliver = channel._accept_data, channel._deliver_data  # noqa: SLF001 - nothing public counts what is held
    held = 0  # accepted, and not delivered yet

    def accept_counted(data: bytes, datatype: int | None = None) -> None:
        nonlocal held
        held += len(data)
        accept(data, datatype)

    def deliver_counted(data: bytes, datatype: int | None) -> None:
        nonlocal held
        held -= len(data)
        # asyncssh opens the window to its full size from what is left of it: what is held must seem left, and be taken off again
        channel._recv_window += held  # noqa: SLF001
        try:
            deliver(data, datatype)
        finally:
            channel._recv_window -= held  # noqa: SLF001

    channel._accept_data, channel._deliver_data = accept_counted, deliver_counted  # noqa: SLF001
