"""The folder in which a job or a training run lives: what is asked for, its events, its lock, its log.

Training writes such a folder, and `MAESILCore.jobs` starts the processes that work in them; both import this room.
"""

from MAESILCore.jobfolder.events import ENDS, Event, ProgressCallback, rows
from MAESILCore.jobfolder.failures import Message, message_of
from MAESILCore.jobfolder.folder import JobFolder, JobState, Tail, jobs_in
from MAESILCore.jobfolder.lock import Lock, Owner

__all__ = [
    "ENDS",
    "Event",
    "JobFolder",
    "JobState",
    "Lock",
    "Message",
    "Owner",
    "ProgressCallback",
    "Tail",
    "jobs_in",
    "message_of",
    "rows",
]
