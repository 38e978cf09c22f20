"""Which app has which host, and certificates with their keys."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, exists, insert, or_, select

from gitreceive.engines.sql_ledger.part import Part
from gitreceive.engines.sql_ledger.schema import apps, certificates, domains, jobs
from gitreceive.errors import ConflictError, NotFoundError
from gitreceive.model import AppName, AppSettings, Certificate, CertificateFacts, Domain, Secret


class Certificates(Part):
    """The port ``CertificateLedger``."""

    def keep_certificate(self, app: AppName, certificate: Certificate) -> None:
        with self._database.writing() as connection:
            found = connection.execute(_certificates(app, certificate.fingerprint)).first()
            if found is None:
                connection.execute(
                    insert(certificates).values(
                        app=app,
                        fingerprint=certificate.fingerprint,
                        facts=certificate.facts.document(),
                        chain=certificate.chain,
                        key=certificate.key.reveal(),
                    )
                )

    def certificate(self, app: AppName, fingerprint: str) -> Certificate:
        with self._database.reading() as connection:
            row = connection.execute(_certificates(app, fingerprint)).first()
        if row is None:
            raise NotFoundError(
                f"{app} has no certificate {fingerprint[:12]}", hint=f"gitreceive certs list {app}"
            )
        facts = CertificateFacts.parse(row.facts, "a certificate")
        return Certificate(row.fingerprint, facts, row.chain, Secret(row.key))

    def forget_certificates(self, app: AppName) -> None:
        with self._database.writing() as connection:
            if connection.execute(select(_busy(app))).scalar():
                return
            set_now = _settings(connection, app).routing.certificates
            connection.execute(
                delete(certificates).where(
                    certificates.c.app == app, certificates.c.fingerprint.not_in(tuple(set_now))
                )
            )


def claim_domains(connection: Connection, app: AppName, hosts: Iterable[Domain]) -> None:
    """They are the app's from now on. Raises ConflictError where another app has one of them, by its name or under a wildcard.

    A claim that came to nothing, as the job that was to set it failed, holds nobody off.
    """
    for host in hosts:
        for other in _others(connection, app, host):
            if _holds(connection, AppName(other.app), Domain(other.host)):
                raise ConflictError(
                    f"{host} is taken by another app of this server",
                    hint="remove it there first: domains remove",
                )
            connection.execute(delete(domains).where(domains.c.host == other.host))
        if connection.execute(select(domains.c.app).where(domains.c.host == host)).first() is None:
            connection.execute(insert(domains).values(host=host, app=app))


def let_domains_go(connection: Connection, app: AppName, after: AppSettings) -> None:
    """What the app had until now and has no more is free for others."""
    before = _settings(connection, app).routing.domains
    gone = set(before) - set(after.routing.domains)
    connection.execute(delete(domains).where(domains.c.app == app, domains.c.host.in_(gone)))


def _others(connection: Connection, app: AppName, host: Domain) -> list[Row[Any]]:
    """What other apps claim of it."""
    alike: ColumnElement[bool] = domains.c.host.in_((host, host.above))
    if host.wildcard:
        alike = or_(alike, domains.c.host.like(f"%{host[1:]}"))
    found = connection.execute(select(domains).where(domains.c.app != app, alike))
    return [row for row in found if host.covers(row.host) or Domain(row.host).covers(host)]


def _holds(connection: Connection, app: AppName, host: Domain) -> bool:
    return host in _settings(connection, app).routing.domains or bool(
        connection.execute(select(_busy(app))).scalar()
    )


def _busy(app: AppName) -> ColumnElement[bool]:
    """A job of it has not ended, which may be about to set what nothing names yet."""
    return exists().where(jobs.c.app == app, jobs.c.ended_at.is_(None))


def _settings(connection: Connection, app: AppName) -> AppSettings:
    found = connection.execute(select(apps.c.settings).where(apps.c.name == app)).first()
    return AppSettings.parse(found.settings) if found else AppSettings()


def _certificates(app: AppName, fingerprint: str) -> Select[Any]:
    return select(certificates).where(certificates.c.app == app, certificates.c.fingerprint == fingerprint)
