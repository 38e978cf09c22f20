"""Services are made by operators of a cluster, and one host has none."""

from gitreceive.cancellation import Cancellation
from gitreceive.errors import ConflictError
from gitreceive.model import AppName, KindStatus, ServiceOrder, ServiceStatus
from gitreceive.ports import Log


class NoOperators:
    """The part of a Target that is ``Provisions``, where there is nobody to provision."""

    def service_kinds(self) -> tuple[KindStatus, ...]:
        raise _no_operators()

    def services(self, app: AppName) -> tuple[ServiceStatus, ...]:  # noqa: ARG002
        return ()

    def provision(
        self,
        app: AppName,  # noqa: ARG002
        order: ServiceOrder,  # noqa: ARG002
        log: Log,  # noqa: ARG002
        cancel: Cancellation,  # noqa: ARG002
    ) -> ServiceStatus:
        raise _no_operators()

    def remove_service(self, app: AppName, name: str, log: Log) -> bool:  # noqa: ARG002
        return False


def _no_operators() -> ConflictError:
    return ConflictError(
        "the docker target makes no services: there are no operators that could",
        hint="run one yourself and bind it: gitreceive services bind DATABASE_URL=postgres://…",
    )
