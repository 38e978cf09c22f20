"""Receivers of log drains: syslog over TLS or TCP (RFC 5424, 5425, 6587), and HTTPS."""

from gitreceive.engines.log_drains.dialing import Dialer, allowed_networks, forbidden
from gitreceive.engines.log_drains.https import HttpsReceiver
from gitreceive.engines.log_drains.syslog import SyslogReceiver

__all__ = ["Dialer", "HttpsReceiver", "SyslogReceiver", "allowed_networks", "forbidden"]
