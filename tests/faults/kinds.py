"""What a proxy does to an exchange, and by which rule: as values, drawn with a seed so that a run can be told again."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One exchange goes like this. ``kind`` names it in counts."""

    kind: str
    delay: float = 0.0  # seconds before the request is looked at
    status: int = 0  # answered in place of the server, which never sees the request
    headers: Mapping[str, str] = field(default_factory=dict)
    unseen: bool = False  # the connection is reset before the server has seen the request
    cut: int | None = None  # bytes of the answer after which the connection ends
    reset: bool = False  # with ``cut``: by RST, else by FIN
    silent: bool = False  # the request is taken, and nothing is ever said
    drip: float = 0.0  # seconds between two bytes of the answer

    def answer(self, method: str) -> bytes:
        """A whole one: what HEAD asks for has no body (RFC 9110, 9.3.2), or it would be taken for the next answer's beginning."""
        body = json.dumps({"message": f"injected {self.status}"}).encode()
        head = {"Content-Type": "application/json", "Content-Length": str(len(body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"HTTP/1.1 {self.status} Injected\r\n{lines}\r\n".encode() + (
            b"" if method == "HEAD" else body
        )


def latency(seconds: float) -> Fault:
    return Fault("latency", delay=seconds)


def status(code: int, headers: Mapping[str, str] | None = None) -> Fault:
    return Fault(str(code), status=code, headers=headers or {})


def reset_before() -> Fault:
    """The server never sees it."""
    return Fault("reset before", unseen=True)


def reset_after(sent: int = 0) -> Fault:
    """The server has done it; the client has ``sent`` bytes of the answer."""
    return Fault("reset after", cut=sent, reset=True)


def truncate(sent: int) -> Fault:
    return Fault("truncate", cut=sent)


def half_open() -> Fault:
    return Fault("half-open", silent=True)


def slow_loris(pause: float = 1.0) -> Fault:
    return Fault("slow loris", drip=pause)


@dataclass
class Rule:
    """The next ``times`` requests that it is about go like ``fault``."""

    method: str
    path: re.Pattern[str]
    fault: Fault
    times: int


class Faults:
    """Thread-safe. What was asked for by ``next`` goes first; then chance, with ``errors`` and ``resets`` as parts of 1."""

    def __init__(self, seed: int = 0, errors: float = 0.0, resets: float = 0.0) -> None:
        self.errors, self.resets = errors, resets
        self.seen: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.spared: Callable[[str, str], bool] = lambda _method, _path: False
        self._random = random.Random(seed)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def next(self, method: str, path: str, *faults: Fault, times: int = 1) -> None:
        """``method`` and ``path`` are regular expressions; the method has to match as a whole."""
        with self._lock:
            self._rules += [Rule(method, re.compile(path), fault, times) for fault in faults]

    def count(self, method: str, path: str) -> int:
        """How many such requests came, faulty ones among them."""
        with self._lock:
            return sum(bool(re.fullmatch(method, m) and re.search(path, p)) for m, p in self.seen)

    def draw(self, method: str, path: str) -> Fault | None:
        """The fate of a request."""
        with self._lock:
            self.seen.append((method, path))
            fault = self._ruled(method, path)
            if fault is None and not self.spared(method, path):
                fault = self._by_chance()
            self.counts[fault.kind if fault else "passed"] += 1
            return fault

    def _ruled(self, method: str, path: str) -> Fault | None:
        for rule in self._rules:
            if rule.times and re.fullmatch(rule.method, method) and rule.path.search(path):
                rule.times -= 1
                return rule.fault
        return None

    def _by_chance(self) -> Fault | None:
        drawn = self._random.random()
        if drawn < self.errors:
            return self._random.choice(_ERRORS)
        if drawn < self.errors + self.resets:
            return self._random.choice(_RESETS)
        return None


_ERRORS: tuple[Fault, ...] = (status(500), status(503), status(429, {"Retry-After": "1"}))
_RESETS: tuple[Fault, ...] = (reset_before(), reset_after(), reset_after(20))
