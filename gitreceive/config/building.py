"""How builds run, and what they may: the section `build` of the settings."""

from dataclasses import dataclass

from gitreceive.config.declaring import setting as _setting


@dataclass(frozen=True)
class BuildSettings:
    """How builds run."""

    concurrency: int = _setting(2, "Builds at once, over all apps.")
    timeout: int = _setting(1800, "Seconds that a build may take.")
    memory: str = _setting("2g", "Memory of a build container: bytes, or a number with k, m or g.")
    cpus: float = _setting(2.0, "CPUs of a build container.")
    pids: int = _setting(4096, "Processes and threads in a build container.")
    network: str = _setting(
        "bridge", "The Docker network that leads builds out; `none` is as `egress` is with `none`."
    )
    egress: str = _setting(
        "open",
        "What builds reach. `open`: the Internet, but no metadata address, none of private networks or of the Docker host's own, not the API "
        "server and not the registry, save where `env` or `egress_hosts` name them. `indexes`: only what these two name. `none`: nothing. See "
        "`confinement.md`.",
        choices=("open", "indexes", "none"),
    )
    egress_hosts: tuple[str, ...] = _setting(
        (),
        "What builds may reach beside the hosts in URLs of `env`: HOST, HOST:PORT or networks, such as `mirror.example.com:443` and "
        "`10.2.0.0/16`. In the environment: words with spaces between them.",
    )
    disk: str = _setting(
        "20g",
        "What a build may have on disk, its app's cache with it: bytes, or a number with k, m or g. No single file may be larger either.",
    )
    disk_files: int = _setting(2_000_000, "Files and folders that a build may have, its app's cache with it.")
    disk_reserve: str = _setting(
        "512m",
        "Builds are stopped when Docker's disk has no more than this free: bytes, or a number with k, m or g.",
    )
    runtime: str = _setting(
        "",
        "The OCI runtime that builds run in, by its name in Docker's own settings, such as `runsc` or `kata`; empty: Docker's default.",
    )
    ca_bundle: str = _setting(
        "",
        "A PEM file with the certificate authorities that builds trust, for an index behind a company proxy. It reaches every phase "
        "of a build, and never the image.",
    )
    env: dict[str, str] = _setting(
        {},
        "Variables for every build: index URLs, proxies. They are seen by builds and are not in the image. "
        "In the environment: `NAME=VALUE` lines.",
    )
    secrets: dict[str, str] = _setting(
        {},
        "Build-only secrets: name to a file of the server's. In the build it is the file `/platform/secrets/NAME`, on tmpfs; a value "
        "that is found in a layer or the log fails the build.",
    )
    system_packages_bytes: int = _setting(
        2 << 30, "The most that an app's system packages (`Aptfile`) and what they need may take on disk."
    )
    buildpacks: str = _setting(
        "", "A folder of buildpacks with an `order.toml`, in place of the bundled ones."
    )
    buildpack_sources: tuple[str, ...] = _setting(
        ("public",),
        "From where apps may have buildpacks: `public`, any HTTPS address or registry of the public Internet; and beginnings of "
        "addresses, such as `https://git.example.com/team/` or `docker://registry.example.com/team`, which may be private, are asked with "
        "the server's registry logins, and over plain HTTP where they begin with `http`. An empty list allows none. The server's own registry is "
        "always asked for repositories below `buildpacks/`. In the environment: words with spaces between them.",
    )
