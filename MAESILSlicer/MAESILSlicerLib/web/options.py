"""The options of `maesil app`."""

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

#: Minimum length of a token; a shorter one could be guessed.
SHORTEST_TOKEN = 16

#: Maximum number of offered scans; a longer list is unreadable.
MOST_SCANS = 500


@dataclass(frozen=True)
class AppOptions:
    """The settings of the server.

    Attributes:
        scans: files and folders to offer beside samples and uploads, or a finished search of them.
        port: the port; 0 is any free one.
        host: the address to listen on; any but the loopback address requires a token.
        token: the access token; None for none.
        openBrowser: whether to open the page in a browser.
        device: the default device of reconstructions.
        model: checkpoint file or name of a bundled model; None is the default model.
        modelFolders: folders whose checkpoints are offered.
        data: folders of scans and stores that pre-trainings may use.
        runs: the folder of the runs; None offers no pre-training.
        index: an index whose scans are searched for similar places, too; None for none.
        publicUrl: the address behind a reverse proxy; None without one.
    """

    scans: Discovery | tuple[Path, ...] = ()
    port: int = 0
    host: str = "127.0.0.1"
    token: str | None = None
    openBrowser: bool = True
    device: str = "auto"
    model: str | None = None
    modelFolders: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()
    runs: Path | None = None
    index: Path | None = None
    publicUrl: str | None = None

    @property
    def isLocal(self) -> bool:
        """Whether the server listens on this machine only; a reverse proxy may still publish it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def checkDevice(self) -> None:
        """Check at startup whether this computer has the device.

        Raises:
            ConfigError: the device is not available.
        """
        # Only a GPU is worth the seconds of loading PyTorch.
        if check_device(self.device) in ("auto", "cpu"):
            return
        require("torch", "A GPU")
        from MAESILCore.devices import pick_device

        pick_device(self.device)

    def publicAddress(self) -> PublicAddress | None:
        """The parts of `publicUrl`.

        Raises:
            ConfigError: `publicUrl` is not an address of a page.
        """
        return None if self.publicUrl is None else PublicAddress.parse(self.publicUrl)

    def effectiveToken(self) -> str | None:
        """The required token; a random one if none was given and other machines can reach the page.

        Raises:
            ConfigError: the token is too short.
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
