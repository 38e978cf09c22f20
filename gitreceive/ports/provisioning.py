"""Services that a target makes for apps."""

from typing import Protocol

from gitreceive.cancellation import Cancellation
from gitreceive.model import AppName, KindStatus, ServiceOrder, ServiceStatus
from gitreceive.ports.logs import Log


class Provisions(Protocol):
    """A target hands the making over to somebody: an operator of its cluster. No roll-out removes a service; ``destroy`` of the app does."""

    def service_kinds(self) -> tuple[KindStatus, ...]:
        """All that are declared, by name, with why one cannot be had here. Raises ConflictError where the target has none at all."""

    def services(self, app: AppName) -> tuple[ServiceStatus, ...]:
        """Those that were made for the app, by name."""

    def provision(self, app: AppName, order: ServiceOrder, log: Log, cancel: Cancellation) -> ServiceStatus:
        """Have it made, and return when it can be used. Asked again, it goes on with what is there; what is not said stays as it is.

        Whatever it raises, what was begun stays and goes on. Raises NotFoundError for a kind that is not known or not had here, ConflictError where
        the name is somebody else's or of another kind, RolloutError with the operator's own words where it is refused or not ready in its
        time, and CanceledError.
        """

    def remove_service(self, app: AppName, name: str, log: Log) -> bool:
        """What is stored in it is lost. False where there is none. Raises RolloutError where its operator does not let it go in a minute."""
