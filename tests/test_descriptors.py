"""A server that is given few descriptors takes as many as it may."""

import subprocess
import sys

_SERVER = """
import resource
from gitreceive import server
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
server.take_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE), most)
"""


def test_the_soft_limit_is_raised_as_far_as_it_goes() -> None:
    done = subprocess.run([sys.executable, "-c", _SERVER], capture_output=True, text=True, check=True)
    soft, hard, most = map(int, done.stdout.split())
    assert hard == most
    assert soft == (min(most, 1 << 16) if most != -1 else 1 << 16)
