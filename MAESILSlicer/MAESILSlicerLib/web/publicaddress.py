"""The public address of the page behind a reverse proxy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from MAESILCore.errors import ConfigError

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?(?P<path>/[\w.~/-]*)?",
    re.ASCII | re.IGNORECASE,
)
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class PublicAddress:
    """An address in parts.

    Attributes:
        scheme: `http` or `https`.
        host: name or IP address; IPv6 in brackets.
        port: the port.
        path: prefix of all paths, with a slash at both ends.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> PublicAddress:
        """Read an address such as `https://host.example/maesil/`.

        Raises:
            ConfigError: `text` is not an address of a page.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            message = (
                f"The public address {text!r} cannot be used; give one such as https://host.example/maesil/."
            )
            raise ConfigError(message)
        scheme = found["scheme"].lower()
        prefix = (found["path"] or "").strip("/")
        return cls(
            scheme,
            found["host"].lower(),
            int(found["port"] or _USUAL_PORTS[scheme]),
            f"/{prefix}/" if prefix else "/",
        )

    @property
    def origin(self) -> str:
        """The `Origin` header of browsers, which omits the default port."""
        port = "" if self.port == _USUAL_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def text(self) -> str:
        """The whole address."""
        return self.origin + self.path
