"""OpenSSH's own sshd on loopback, in front of a server, set as docs/openssh.md says."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.world import Server, free_ports, port_answers, run, wait_until


@contextmanager
def sshd(server: Server, account: str) -> Iterator[int]:
    """The port on which it lets ``account`` in, that the server runs as, by keys of gitreceive's users alone."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program, "sshd is not installed: run scripts/test"
    folder = server.folder / "sshd"
    folder.mkdir(exist_ok=True)
    key = folder / "host_key"
    if not key.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]).ok()
    [port] = free_ports(1)
    settings = server.cli("openssh", "settings").ok().says(f"Match User {account}\n").out
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\nUsePAM no\n{settings}"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as Debian's service does
    log = folder / "log"
    with log.open("ab") as output:
        daemon = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stdout=output, stderr=output)
    try:

        def answers() -> bool:
            assert daemon.poll() is None, log.read_text()
            return port_answers(port)

        wait_until(answers, "sshd answers")
        yield port
    finally:
        daemon.terminate()
        daemon.wait(10)
