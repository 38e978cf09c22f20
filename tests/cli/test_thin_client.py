"""In a clone, a command becomes ssh: a program called ssh on the PATH shows with which words."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

_SSH = f"#!{sys.executable}\nimport json, sys\nprint(json.dumps([sys.argv[1:], sys.stdin.read()]))\nsys.exit(5)\n"


class Laptop:
    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.clone = folder / "clone"
        self.clone.mkdir()
        (folder / "bin").mkdir()
        self.ssh = folder / "bin" / "ssh"
        self.ssh.write_text(_SSH)
        self.ssh.chmod(0o755)

    def remote(self, name: str, url: str) -> None:
        (self.clone / ".git" / "refs").mkdir(parents=True, exist_ok=True)
        (self.clone / ".git" / "objects").mkdir(exist_ok=True)
        (self.clone / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        (self.clone / ".git" / "config").write_text(f'[remote "{name}"]\n\turl = {url}\n')

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.ssh.parent), "HOME": str(self.home), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "gitreceive", *words]
        return subprocess.run(
            command, cwd=self.clone, env=env, input=stdin, capture_output=True, text=True, check=False
        )

    def run_in_terminal(self, *words: str) -> list[str]:
        """The words that ssh was called with."""
        master, slave = pty.openpty()
        env = {"PATH": str(self.ssh.parent), "HOME": str(self.home), "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "gitreceive", *words]
        with subprocess.Popen(command, cwd=self.clone, env=env, stdin=slave, stdout=slave) as client:
            os.write(master, b"\x04")
            client.wait(30)
        os.close(slave)
        said = os.read(master, 65536).decode()
        os.close(master)
        asked: list[str] = json.loads(said[said.index("[[") :])[0]
        return asked


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    laptop = Laptop(tmp_path)
    laptop.remote("deploy", "ssh://git@paas.example.com:2222/shop")
    return laptop


_TO = ["-p", "2222", "--", "git@paas.example.com"]


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (["ps"], "ps --app shop"),
        (["ps", "--json"], "ps --app shop --json"),
        (["ps", "--app", "blog"], "ps --app blog"),
        (["logs", "-f", "-n", "5"], "logs --app shop -f -n 5"),
        (["logs", "--ps", "web", "--source", "all"], "logs --app shop --ps web --source all"),
        (["logs", "blog", "-f"], "logs blog -f"),
        (["builds", "log"], "builds log --app shop"),
        (["builds"], "builds"),
        (["apps", "info"], "apps info --app shop"),
        (["apps", "info", "blog"], "apps info blog"),
        (["apps", "list"], "apps list"),
        (["config", "list"], "config list --app shop"),
        (["config", "list", "blog"], "config list blog"),
        (["config", "get", "A"], "config get --app shop A"),
        (["config", "get", "blog", "A"], "config get blog A"),
        (["config", "set", "A=1", "b=2"], "config set --app shop A=1 b=2"),
        (["config", "set", "blog", "A=1"], "config set blog A=1"),
        (["config", "set", "-a", "blog", "A=1"], "config set -a blog A=1"),
        (["config", "set", "KEY", "--stdin"], "config set --app shop KEY --stdin"),
        (["config", "set", "--stdin", "blog", "KEY"], "config set --stdin blog KEY"),
        (["config", "unset", "A"], "config unset --app shop A"),
        (["config", "unset", "A", "B"], "config unset --app shop A B"),
        (["config", "unset", "blog", "B"], "config unset blog B"),
        (["config", "import", "--format", "dotenv"], "config import --app shop --format dotenv"),
        (["config", "export", "--format", "shell", "blog"], "config export --format shell blog"),
        (["services", "create", "redis", "db"], "services create --app shop redis db"),
        (["services", "create", "blog", "redis", "db"], "services create blog redis db"),
        (
            ["services", "create", "redis", "db", "--version", "7", "--size", "1Gi"],
            "services create --app shop redis db --version 7 --size 1Gi",
        ),
        (["services", "destroy", "db", "--confirm", "db"], "services destroy --app shop db --confirm db"),
        (["services", "info", "blog", "db"], "services info blog db"),
        (["services", "kinds"], "services kinds"),
        (["cron", "list"], "cron list --app shop"),
        (["cron", "list", "blog"], "cron list blog"),
        (["cron", "run", "clean"], "cron run --app shop clean"),
        (["cron", "run", "blog", "clean"], "cron run blog clean"),
        (["cron", "unset", "clean"], "cron unset --app shop clean"),
        (["cron", "history", "clean"], "cron history --app shop clean"),
        (
            ["cron", "set", "clean", "--schedule", "0 3 * * *", "--", "rm", "-a", "x", "--help"],
            "cron set --app shop clean --schedule '0 3 * * *' -- rm -a x --help",
        ),
        (
            ["cron", "set", "blog", "clean", "--timeout", "2h", "--schedule", "@daily", "--", "ls"],
            "cron set blog clean --timeout 2h --schedule @daily -- ls",
        ),
        (["promote", "--to", "blog"], "promote --app shop --to blog"),
        (["promote", "staging", "v2", "--to", "blog"], "promote staging v2 --to blog"),
        (["rebase"], "rebase --app shop"),
        (["rebase", "blog"], "rebase blog"),
        (["rebase", "--all"], "rebase --all"),
        (["rebase", "--stack", "bookworm"], "rebase --app shop --stack bookworm"),
        (["rollback"], "rollback --app shop"),
        (["rollback", "v5"], "rollback --app shop v5"),
        (["rollback", "blog", "v5"], "rollback blog v5"),
        (["redeploy", "--json"], "redeploy --app shop --json"),
        (["releases", "-n", "5"], "releases --app shop -n 5"),
        (["releases", "list"], "releases list --app shop"),
        (["releases", "blog"], "releases blog"),
        (["releases", "diff", "v1", "v2"], "releases diff --app shop v1 v2"),
        (["run", "rake", "db:migrate"], "run --app shop rake db:migrate"),
        (["run", "--", "grep", "-a", "x"], "run --app shop -- grep -a x"),
        (["run", "ls", "--help"], "run --app shop ls --help"),
        (["run", "--env", "A=1", "ls", "-h"], "run --app shop --env A=1 ls -h"),
        (["run", "-a", "blog", "--", "ls"], "run -a blog -- ls"),
        (["run", "start", "--detach", "--", "ls"], "run start --app shop --detach -- ls"),
        (["run", "list"], "run list --app shop"),
        (["run", "stop", "run-x7k2p4"], "run stop --app shop run-x7k2p4"),
        (["exec", "--ps", "web.2", "--", "ps", "--help"], "exec --app shop --ps web.2 -- ps --help"),
        (["apps", "create", "a b; $(id) 'c'"], """apps create 'a b; $(id) '"'"'c'"'"''"""),
    ],
)
def test_a_command_goes_to_the_server_of_the_remote(typed: list[str], asked: str, laptop: Laptop) -> None:
    done = laptop.run(*typed)
    assert json.loads(done.stdout)[0] == [*_TO, asked], done.stderr
    assert done.returncode == 5


@pytest.mark.parametrize(
    ("typed", "asks"),
    [
        (["run", "bash"], True),
        (["exec", "bash"], True),
        (["run", "start", "--", "bash"], True),
        (["run", "--no-tty", "--", "bash"], False),
        (["run", "--detach", "--", "bash"], False),
        (["run", "--", "bash", "-d"], True),
        (["run", "list"], False),
        (["ps"], False),
    ],
)
def test_a_terminal_is_asked_for_where_there_is_one_and_a_process_to_speak_with(
    typed: list[str], asks: bool, laptop: Laptop
) -> None:
    assert ("-t" in laptop.run_in_terminal(*typed)) == asks


@pytest.mark.parametrize(
    ("typed", "way"),
    [
        (["port-forward", "8080"], "127.0.0.1:8080:web.shop:8080"),
        (["port-forward", "--ps", "worker.1", "9000:9229"], "127.0.0.1:9000:worker.1.shop:9229"),
        (["port-forward", "-a", "blog", "1:2"], "127.0.0.1:1:web.blog:2"),
    ],
)
def test_a_port_is_forwarded_by_ssh_itself(typed: list[str], way: str, laptop: Laptop) -> None:
    done = laptop.run(*typed)
    assert json.loads(done.stdout)[0] == ["-N", "-o", "ExitOnForwardFailure=yes", "-L", way, *_TO]


@pytest.mark.parametrize("typed", [["x"], ["0:1"], ["1:70000"], ["--ps", "a:b", "1"], ["--ps", "-x", "1"]])
def test_what_is_no_port_or_process_starts_no_ssh(typed: list[str], laptop: Laptop) -> None:
    done = laptop.run("port-forward", *typed)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({"TERM": "xterm"}, "logs --color always --app shop -f"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "logs --app shop -f"),
        ({"TERM": "dumb"}, "logs --app shop -f"),
    ],
)
def test_a_terminal_here_is_told_to_the_server(
    environment: dict[str, str], asked: str, laptop: Laptop
) -> None:
    ours, theirs = pty.openpty()
    env = {"PATH": str(laptop.ssh.parent), "HOME": str(laptop.home), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "gitreceive", "logs", "-f"]
    with subprocess.Popen(
        command, cwd=laptop.clone, env=env | environment, stdin=subprocess.DEVNULL, stdout=theirs
    ) as done:
        os.close(theirs)
        with open(ours, "rb", buffering=0) as terminal:
            said = terminal.readline()
        assert done.wait(20) == 5
    assert json.loads(said)[0] == [*_TO, asked]


def test_standard_input_goes_along(laptop: Laptop) -> None:
    done = laptop.run("keys", "add", stdin="ssh-ed25519 AAAA\n")
    assert json.loads(done.stdout) == [[*_TO, "keys add"], "ssh-ed25519 AAAA\n"]


@pytest.mark.parametrize("typed", [["version"], ["--version"], ["help", "ps"], ["ps", "--help"], ["plan"]])
def test_what_needs_no_server_asks_none(typed: list[str], laptop: Laptop) -> None:
    (laptop.clone / "index.html").write_text("<p>Hello")
    done = laptop.run(*typed)
    assert "git@paas" not in done.stdout
    assert done.returncode == 0, done.stderr


def test_the_servers_own_host_asks_itself_also_in_a_clone(laptop: Laptop) -> None:
    data = laptop.home / ".local" / "share" / "gitreceive"
    data.mkdir(parents=True)
    (data / "ledger.db").touch()
    done = laptop.run("apps", "list")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "no apps yet" in done.stderr


def test_without_ssh_it_is_said_what_to_install(laptop: Laptop) -> None:
    laptop.ssh.unlink()
    done = laptop.run("ps")
    assert done.returncode == 7
    assert "ssh cannot be run" in done.stderr
    assert "openssh-client" in done.stderr


def test_a_hostile_remote_starts_nothing(laptop: Laptop) -> None:
    laptop.remote("deploy", "ssh://-oProxyCommand=touch/shop")
    done = laptop.run("ps")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no gitreceive server" in done.stderr


def test_a_reader_that_has_seen_enough_is_not_complained_to(laptop: Laptop) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    env = {"HOME": str(laptop.home), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "gitreceive", "--help"], env=env, stdout=writing, stderr=-1, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
