"""The operator's mirror and proxy, in the words of Maven and of Java."""

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit
from xml.sax.saxutils import escape

# what Maven's own settings have, which these take the place of
_BLOCKER = """\
  <mirrors><mirror>
    <id>maven-default-http-blocker</id><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked>
  </mirror></mirrors>
"""


def render_settings(mirror: str, env: Mapping[str, str]) -> str:
    """Maven's settings.xml: the mirror in place of all remote repositories, and the proxies; empty where there is neither."""
    proxies = "".join(_element(scheme, url, env) for scheme, url in _proxies(env).items())
    if not mirror and not proxies:
        return ""
    mirrors = f"  <mirrors><mirror><id>mirror</id><mirrorOf>external:*</mirrorOf><url>{escape(mirror)}</url></mirror></mirrors>\n"
    return f"<settings>\n{mirrors if mirror else _BLOCKER}  <proxies>\n{proxies}  </proxies>\n</settings>\n"


def java_options(env: Mapping[str, str]) -> list[str]:
    """The proxies as options of a Java program; their credentials cannot be told so."""
    options = []
    for scheme, url in _proxies(env).items():
        options += [f"-D{scheme}.proxyHost={url.hostname}", f"-D{scheme}.proxyPort={url.port or 80}"]
    direct = _direct(env)
    return [*options, f"-Dhttp.nonProxyHosts={direct}"] if options and direct else options


def _proxies(env: Mapping[str, str]) -> dict[str, SplitResult]:
    found = {}
    for scheme in ("http", "https"):
        value = env.get(f"{scheme}_proxy") or env.get(f"{scheme.upper()}_PROXY") or ""
        url = urlsplit(value if "//" in value else f"//{value}")
        if url.hostname:
            found[scheme] = url
    return found


def _element(scheme: str, url: SplitResult, env: Mapping[str, str]) -> str:
    fields = {
        "id": scheme,
        "protocol": scheme,  # of the repositories that are reached through it
        "host": url.hostname or "",
        "port": str(url.port or 80),
        "username": url.username or "",
        "password": url.password or "",
        "nonProxyHosts": _direct(env),
    }
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items() if value)
    return f"    <proxy>{inner}</proxy>\n"


def _direct(env: Mapping[str, str]) -> str:
    """Hosts that are reached without proxy, in Java's words: ``*.example`` for ``.example``, with bars in between."""
    hosts = [host.strip() for host in (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",")]
    return "|".join(f"*{host}" if host.startswith(".") else host for host in hosts if host)
