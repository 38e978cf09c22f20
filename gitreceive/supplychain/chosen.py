"""What the settings choose of all this."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gitreceive.config import Settings
from gitreceive.config.supply_chain import SupplyChainSettings
from gitreceive.errors import ConfigError
from gitreceive.model import Check, Secret
from gitreceive.ports import Attestor, Registry
from gitreceive.supplychain.attesting import RegistryAttestor
from gitreceive.supplychain.inventory import Inventory
from gitreceive.supplychain.signing import SigningKey, read_signing_key


def choose(settings: Settings, registry: Registry) -> tuple[Inventory, Attestor | None]:
    """Nothing is read yet, the signing key neither."""
    chosen, inventory = (
        settings.supply_chain,
        Inventory(settings.data_dir / "inventories", settings.reserved_bytes),
    )
    if chosen.attest == "off":
        return inventory, None
    named = settings.public_url or f"ssh://{settings.public_host or settings.ssh_listen}"
    key, first = partial(_signing_key, chosen), chosen.attest == "first"
    return inventory, RegistryAttestor(registry, inventory, chosen.builder_id or named, key, first=first)


def check_key(chosen: SupplyChainSettings) -> Iterator[Check]:
    """The key can be used, and nobody else on this host can read it. Raises ConfigError."""
    key = _signing_key(chosen)
    if key is None:
        yield Check("signing key", ok=True, seen="none, so images are not signed")
        return
    path = Path(chosen.signing_key_file).expanduser()
    others = bool(path.stat().st_mode & 0o077)
    fix = f"chmod 600 {path}" if others else ""
    seen = f"{path} can be read by others" if others else f"signs with {key.public.id}"
    yield Check("signing key", ok=not others, seen=seen, fix=fix)


def _signing_key(chosen: SupplyChainSettings) -> SigningKey | None:
    """Read anew each time, so that another key counts at once."""
    if not chosen.signing_key_file or chosen.attest == "off":
        return None
    password = chosen.signing_key_password or _first_line(chosen.signing_key_password_file)
    return read_signing_key(
        Path(chosen.signing_key_file).expanduser(), Secret(password) if password else None
    )


def _first_line(name: str) -> str:
    if not name:
        return ""
    try:
        lines = Path(name).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"supply_chain.signing_key_password_file: {name} cannot be read",
            hint="let the server's user read it",
        ) from error
    return lines[0] if lines else ""
