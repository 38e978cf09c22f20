"""The logs of a target's containers as one: what there is, by time, and then each line as it comes, none lost and none twice.

A target says which runs it has and opens their logs (``Runs``); what is hard about reading many logs that come, go, break off and
rotate is here, once for all targets.
"""

from gitreceive.tailing.follow import Follower
from gitreceive.tailing.history import read
from gitreceive.tailing.runs import OpenLog, Run, Runs

__all__ = ["Follower", "OpenLog", "Run", "Runs", "read"]
