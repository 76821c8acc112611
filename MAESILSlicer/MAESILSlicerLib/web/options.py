"""What `maesil app` was asked for."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from MAESILCore.data.formats.discovery import Discovery
from MAESILCore.errors import ConfigError
from MAESILCore.optional import require
from MAESILCore.options import check_device
from MAESILSlicerLib.web.publicaddress import PublicAddress

#: Shorter tokens could be guessed.
SHORTEST_TOKEN = 16

#: Scans that are offered of what was named; nobody can read a longer list.
MOST_SCANS = 500


@dataclass(frozen=True)
class AppOptions:
    """How the page is served.

    Attributes:
        scans: files and folders that the page offers, beside samples and uploads, or what was found there.
        port: 0 is any free one.
        host: the address to listen at; all but this machine's own only together with a token.
        token: who opens the page must know it; None asks for none.
        openBrowser: whether the page opens by itself.
        device: what reconstructions run on unless the page says otherwise.
        model: checkpoint file or name of a bundled model; None is the default one.
        modelFolders: in which the page offers checkpoints.
        publicUrl: where browsers find the page behind a reverse proxy; None where they reach it directly.
    """

    scans: Discovery | tuple[Path, ...] = ()
    port: int = 0
    host: str = "127.0.0.1"
    token: str | None = None
    openBrowser: bool = True
    device: str = "auto"
    model: str | None = None
    modelFolders: tuple[Path, ...] = ()
    publicUrl: str | None = None

    @property
    def isLocal(self) -> bool:
        """Whether the server listens to programs on this machine only; one of them may be a reverse proxy."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def checkDevice(self) -> None:
        """Find out now whether this computer has the device, and not with the first reconstruction.

        Raises:
            ConfigError: it has not.
        """
        # Only a GPU is worth the seconds that loading PyTorch takes.
        if check_device(self.device) in ("auto", "cpu"):
            return
        require("torch", "A GPU")
        from MAESILCore.devices import pick_device

        pick_device(self.device)

    def publicAddress(self) -> PublicAddress | None:
        """The parts of `publicUrl`.

        Raises:
            ConfigError: it is no address of a page.
        """
        return None if self.publicUrl is None else PublicAddress.parse(self.publicUrl)

    def effectiveToken(self) -> str | None:
        """The token to ask for; one is made up where the page can be reached from elsewhere and none was given.

        Raises:
            ConfigError: it is so short that it could be guessed.
        """
        if self.token is None:
            isReachable = not self.isLocal or self.publicUrl is not None
            return secrets.token_urlsafe(32) if isReachable else None
        if len(self.token) < SHORTEST_TOKEN:
            message = (
                f"The access token has {len(self.token)} characters and could be guessed; "
                f"give at least {SHORTEST_TOKEN}."
            )
            raise ConfigError(message)
        return self.token
