"""The processes of a training: one, or those that torchrun has started."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from MAESILCore.devices import pick_device, pick_precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(device: str, precision: str) -> tuple[Fabric, str]:
    """Connect the processes; returns Fabric, which distributes the training, and the precision.

    Args:
        device: auto, cpu, cuda, cuda:N or mps.
        precision: as in the recipe; `auto` is what the device supports.

    Raises:
        ConfigError: the device is not there.
    """
    import lightning_fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    place, world = pick_device(device), int(os.environ.get("WORLD_SIZE", "1"))
    chosen: Any = pick_precision(place) if precision == "auto" else precision
    if world == 1:
        devices = 1 if place.index is None else [place.index]
        fabric = lightning_fabric.Fabric(accelerator=place.type, devices=devices, precision=chosen)
    else:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        fabric = lightning_fabric.Fabric(
            accelerator=place.type,
            devices=local,
            num_nodes=world // local,
            # The other processes wait while the first one reads all scans.
            strategy=DDPStrategy(timeout=timedelta(hours=12)),
            precision=chosen,
        )
    fabric.launch()
    return fabric, chosen
