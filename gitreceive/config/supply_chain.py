"""What is kept beside images: the section ``supply_chain`` of the settings."""

from dataclasses import dataclass

from gitreceive.config.declaring import setting


@dataclass(frozen=True)
class SupplyChainSettings:
    """What is kept beside images, so that others can check them; see [supply-chain.md](supply-chain.md)."""

    attest: str = setting(
        "alongside",
        "When an image's bill of materials and provenance are made: `alongside` its roll-out, where a failure is told and does no harm; "
        "`first`, before anything of it runs, where a failure fails the push; `off`, never. With a key an image is signed before it runs in any case.",
        choices=("alongside", "first", "off"),
    )
    signing_key_file: str = setting(
        "",
        "An ECDSA key on P-256 in PEM that images and what is said of them are signed with; empty: none is.",
    )
    signing_key_password: str = setting("", "What the key is sealed with, for the environment.")
    signing_key_password_file: str = setting("", "A file whose first line is what the key is sealed with.")
    builder_id: str = setting(
        "", "The URI that provenance names this server by; empty: `public_url`, else the SSH door's address."
    )
