"""The folder of a job or a training run: its request, events, lock and log.

Both training and `MAESILCore.jobs`, which starts job processes, use this room.
"""

from MAESILCore.jobfolder.events import ENDS, Event, EventCallback, rows
from MAESILCore.jobfolder.failures import message_of
from MAESILCore.jobfolder.folder import JobFolder, JobState, Tail, jobs_in
from MAESILCore.jobfolder.lock import Lock
from MAESILCore.jobfolder.owner import Owner

__all__ = [
    "ENDS",
    "Event",
    "EventCallback",
    "JobFolder",
    "JobState",
    "Lock",
    "Owner",
    "Tail",
    "jobs_in",
    "message_of",
    "rows",
]
