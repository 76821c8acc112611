"""Work in a process of its own: it can be watched and cancelled, and cannot take its parent down.

A job is a folder (`MAESILCore.jobfolder`) and the process that works in it. An attached job ends with its window and
leaves nothing; a detached one outlives it and is found again by its folder. `kinds` says what kinds of job there are.
"""

from MAESILCore.jobs.client import JobProcess
from MAESILCore.jobs.estimate import estimate_seconds, estimate_text
from MAESILCore.jobs.kinds import Kind, kind_of
from MAESILCore.jobs.reconstruction import ReconstructionRequest, prepare_reconstruction

__all__ = [
    "JobProcess",
    "Kind",
    "ReconstructionRequest",
    "estimate_seconds",
    "estimate_text",
    "kind_of",
    "prepare_reconstruction",
]
