"""Log drains: what apps say, sent on to receivers elsewhere. A line is on the server's disk before it is reckoned as read, and stays there
until its receiver has it; so neither an outage nor a restart loses one, and one may come twice.
"""

from gitreceive.drains.receiving import Receiver
from gitreceive.drains.service import DrainService
from gitreceive.drains.status import DrainStatus, read_status

__all__ = ["DrainService", "DrainStatus", "Receiver", "read_status"]
