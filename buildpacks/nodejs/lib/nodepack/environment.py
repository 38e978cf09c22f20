"""The environment for package managers and for the app's scripts."""

import os

from nodepack.cnb import Context
from nodepack.registry import find_registry
from nodepack.runtime import Runtime


def script_env(context: Context, runtime: Runtime) -> dict[str, str]:
    """Registry, certificates and caches, told in each manager's words. Credentials are in memory or in the secret's file."""
    env = dict(context.env)
    env.setdefault("NODE_EXTRA_CA_CERTS", env.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    secret = context.secret("npmrc")
    if secret:
        env["NPM_CONFIG_USERCONFIG"] = str(secret)
    folders = os.pathsep.join(map(str, runtime.folders))
    env.update(
        PATH=f"{folders}{os.pathsep}{env.get('PATH', '/usr/bin:/bin')}",
        NODE_ENV=env.get("NODE_ENV", "production"),
        CI=env.get("CI", "true"),  # nobody is there to be asked
        NPM_CONFIG_CACHE=str(context.layer("cache").path / "npm"),
        NPM_CONFIG_UPDATE_NOTIFIER="false",
        NPM_CONFIG_AUDIT="false",
        NPM_CONFIG_FUND="false",
        NPM_CONFIG_PROGRESS="false",
        NPM_CONFIG_LOGS_MAX="0",
        NPM_CONFIG_PREFER_OFFLINE="true",
        npm_package_config_node_gyp_nodedir=str(runtime.headers),  # its headers need not be downloaded
        NO_COLOR="1",
    )
    more = {"yarn": _yarn, "berry": _berry, "pnpm": _pnpm}.get(runtime.manager.kind)
    return {**env, **(more(context) if more else {})}


def _yarn(context: Context) -> dict[str, str]:
    return {"YARN_CACHE_FOLDER": str(context.layer("cache").path / "yarn"), **_registry(context)}


def _berry(context: Context) -> dict[str, str]:
    """Plug'n'Play is left for node_modules, which node finds without being told of it, and which lie in a layer."""
    cache = context.layer("cache").path
    registry = find_registry(context)
    env = {
        "YARN_NODE_LINKER": "node-modules",
        "YARN_GLOBAL_FOLDER": str(cache / "berry"),
        # an app that carries its own cache is installed from it
        "YARN_ENABLE_GLOBAL_CACHE": str(not (context.app / ".yarn" / "cache").is_dir()).lower(),
        "YARN_INSTALL_STATE_PATH": str(cache / "berry" / "install-state.gz"),
        "YARN_ENABLE_TELEMETRY": "0",
        "YARN_ENABLE_PROGRESS_BARS": "false",
        "YARN_ENABLE_HYPERLINKS": "false",
    }
    if registry.configured:
        env["YARN_NPM_REGISTRY_SERVER"] = registry.url.rstrip("/")
        if registry.url.startswith("http://"):
            env["YARN_UNSAFE_HTTP_WHITELIST"] = registry.url.split("/")[2].rpartition(":")[0] or "*"
    if registry.token:
        env["YARN_NPM_AUTH_TOKEN"] = registry.token
    return env


def _pnpm(context: Context) -> dict[str, str]:
    settings = {
        "STORE_DIR": str(context.layer("cache").path / "pnpm"),
        "CACHE_DIR": str(context.layer("cache").path / "pnpm-metadata"),
        "MANAGE_PACKAGE_MANAGER_VERSIONS": "false",  # the one that is asked for is there
        "VERIFY_DEPS_BEFORE_RUN": "false",  # they are installed just before
        "UPDATE_NOTIFIER": "false",
        **{key.removeprefix("NPM_CONFIG_"): value for key, value in _registry(context).items()},
    }
    # since pnpm 11 the second prefix counts
    return {
        f"{prefix}_{name}": value
        for prefix in ("NPM_CONFIG", "PNPM_CONFIG")
        for name, value in settings.items()
    }


def _registry(context: Context) -> dict[str, str]:
    registry = find_registry(context)
    return {"NPM_CONFIG_REGISTRY": registry.url} if registry.configured else {}
