"""Jobs: work in a separate process that can be watched and cancelled, and cannot crash its parent.

A job is a folder (`MAESILCore.jobfolder`) and its process. An attached job ends with its window, and its folder is
removed; a detached job outlives the window and is found again by its folder. `kinds` lists the kinds of job.
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
