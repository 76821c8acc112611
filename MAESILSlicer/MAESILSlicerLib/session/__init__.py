"""One user's work on one volume: choices, jobs and results."""
