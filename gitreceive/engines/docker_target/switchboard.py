"""Keeps the forwarder in step with the containers, whoever started, switched or removed them."""

import logging
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from gitreceive.config import DockerSettings, parse_listen
from gitreceive.engines.docker_target.connection import Notice
from gitreceive.engines.docker_target.containers import Container, Stage, current, listed
from gitreceive.engines.docker_target.engine import Engine
from gitreceive.engines.docker_target.findings import Findings
from gitreceive.engines.docker_target.forwarder import Forwarder
from gitreceive.engines.docker_target.hosts import Hosts
from gitreceive.engines.docker_target.pages import Pages
from gitreceive.engines.docker_target.vigil import Vigil
from gitreceive.errors import GitreceiveError, UnavailableError
from gitreceive.model import RETRY_SECONDS, WEB_PROCESS, AppName

_log = logging.getLogger(__name__)

_REFRESH_SECONDS = 1.0
_STOP_GRACE_SECONDS = 30
_CLOSE_GRACE_SECONDS = 5.0
_LAST_PORT = 65535


class Switchboard:
    """The containers themselves are the record of who serves at which port: nothing is kept beside them.

    So a server that was killed finds everything as it was, and one that hears nothing of a ``destroy`` by another process
    sees it within a second.
    """

    def __init__(
        self,
        engine: Engine,
        owned_by: str,
        settings: DockerSettings,
        pages: Pages,
        hosts: Hosts,
        findings: Findings,
    ) -> None:
        self._engine = engine
        self._hosts = hosts
        self._owned_by = owned_by
        self._settings = settings
        self._pages = pages
        self._forwarder = Forwarder(settings.listen)
        self._vigil = Vigil(engine, findings)
        self._lock = threading.Lock()  # one look at the containers at a time, so that no older one wins
        self._ports: dict[AppName, int] = {}  # promised, before a container carries them
        self._ports_lock = threading.Lock()
        self._leaving: set[str] = set()  # containers that are being retired
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen for every app that has containers, and look again each second. May be called twice.

        Raises UnavailableError where a port for all apps cannot be had.
        """
        with self._ports_lock:
            if self._thread is not None:
                return
            self._open_doors()
            self._stopping.clear()
            self._thread = threading.Thread(target=self._keep_in_step, name="switchboard", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more; requests under way have five seconds. The containers go on running."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._vigil.stop()
        self._forwarder.stop(_CLOSE_GRACE_SECONDS)

    def containers(self, app: AppName | None = None) -> tuple[Container, ...]:
        labels = {"gitreceive.data": self._owned_by} | ({"gitreceive.app": app} if app else {})
        return listed(self._owned_by, self._engine.list(labels))

    def port(self, app: AppName, containers: Iterable[Container]) -> int:
        """The app's port on this host: the one that its containers carry, else the first free one, promised to it."""
        with self._ports_lock:
            known = [c.host_port for c in containers if c.app == app and c.host_port]
            if known:
                return known[-1]
            if app not in self._ports:
                self._ports[app] = self._free_port()
            return self._ports[app]

    def forget(self, app: AppName) -> None:
        """Stop listening for the app and free its port."""
        with self._ports_lock:
            self._ports.pop(app, None)
        self.refresh(app)

    def refresh(self, app: AppName) -> None:
        """See now who serves an app, and send new requests there. Raises UnavailableError where its port cannot be had."""
        with self._lock:
            self._connect(app, self.containers(app))
            self._lead()

    def retire(self, containers: Iterable[Container]) -> None:
        """Stop and remove containers that are named as retiring, in the background: web ones when their requests are done."""
        with self._ports_lock:
            leaving = [c for c in containers if c.id not in self._leaving]
            self._leaving.update(c.id for c in leaving)
        if leaving:
            threading.Thread(target=self._retire, args=(leaving,), name="retire", daemon=True).start()

    def _open_doors(self) -> None:
        for listen, secure in ((self._settings.http_listen, False), (self._settings.https_listen, True)):
            if listen:
                self._forwarder.open_door(*parse_listen(listen), secure=secure)

    def _lead(self) -> None:
        if self._settings.http_listen or self._settings.https_listen:
            table = self._hosts.table()
            if table is not None:
                self._forwarder.lead(table)

    def _keep_in_step(self) -> None:
        silent = True
        while True:
            try:
                self._refresh_all()
                silent = True
            except GitreceiveError as error:
                if silent:
                    _log.warning("the docker target cannot see its containers: %s", error)
                silent = False
            except Exception:  # noqa: BLE001 - logged, and the next look comes
                # whatever it is, the next look must come: a forwarder that no longer looks sends requests to strangers
                _log.exception("the docker target failed to look at its containers")
            if self._stopping.wait(_REFRESH_SECONDS):
                return

    def _refresh_all(self) -> None:
        with self._lock:
            containers = self.containers()
            self._vigil.look(containers)
            apps = {c.app for c in containers} | {AppName(app) for app in self._forwarder.apps}
            failures: list[GitreceiveError] = [
                error for app in sorted(apps) if (error := self._try(app, containers))
            ]
            try:
                self._lead()
            except GitreceiveError as error:  # what has to go still goes
                failures.append(error)
        self.retire(c for c in containers if c.stage is Stage.RETIRING)
        if failures:
            raise failures[0]

    def _try(self, app: AppName, containers: Iterable[Container]) -> UnavailableError | None:
        """One app's port in other hands is no reason to leave the others unserved."""
        try:
            self._connect(app, [c for c in containers if c.app == app])
        except UnavailableError as error:
            return error
        return None

    def _connect(self, app: AppName, containers: list[Container] | tuple[Container, ...]) -> None:
        serving = current(containers)
        web = [
            c
            for c in containers
            if not c.once and c.place.process == WEB_PROCESS and c.place.release == serving
        ]
        port = next((c.host_port for c in web if c.host_port), None)
        if port is None:
            self._forwarder.drop(app)
            return
        unready = self._vigil.unready
        serving_now = [c for c in web if c.running and c.stage is not Stage.RETIRING and c.id not in unready]
        addresses = [c.address for c in serving_now if c.address]
        with self._ports_lock:
            self._ports[app] = port  # should somebody remove what keeps it for an app that is stopped
        self._forwarder.route(app, port, addresses, self._notice(app, web))

    def _notice(self, app: AppName, web: Iterable[Container]) -> Notice | None:
        page = self._pages.page(app)
        if page is not None:
            return Notice(page, RETRY_SECONDS, "text/html; charset=utf-8")
        here = [c for c in web if c.stage is not Stage.RETIRING]
        stopped = bool(here) and all(c.place.reserved for c in here)
        return Notice(b"the app is stopped\n", RETRY_SECONDS) if stopped else None

    def _retire(self, containers: list[Container]) -> None:
        try:
            web = [c for c in containers if c.place.process == WEB_PROCESS]
            self._end([c for c in containers if c.place.process != WEB_PROCESS])
            for app in {c.app for c in web}:
                addresses = [c.address for c in web if c.app == app and c.address]
                self._forwarder.drain(app, addresses, self._settings.drain)
            self._end(web)
        except GitreceiveError as error:
            # they are still named as retiring: the next look at the containers takes them up again
            _log.warning("a replaced container could not be removed: %s", error)
        finally:
            with self._ports_lock:
                self._leaving.difference_update(c.id for c in containers)

    def _end(self, containers: list[Container]) -> None:
        if not containers:
            return
        with ThreadPoolExecutor(max_workers=len(containers)) as pool:
            for _ in pool.map(lambda c: self._engine.stop(c.id, _STOP_GRACE_SECONDS), containers):
                pass
        for container in containers:
            self._engine.remove(container.id)
        for image in {c.image for c in containers}:
            self._engine.remove_image(image)

    def _free_port(self) -> int:
        taken = {int(row["Labels"]["gitreceive.port"]) for row in self._engine.list({"gitreceive.port": ""})}
        taken |= set(self._ports.values())
        for port in range(self._settings.first_port, _LAST_PORT + 1):
            if port not in taken and self._is_free(port):
                return port
        raise UnavailableError("no port is free for another app", hint="set docker.first_port lower")

    def _is_free(self, port: int) -> bool:
        family = socket.AF_INET6 if ":" in self._settings.listen else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._settings.listen, port))
            except OSError:
                return False
        return True
