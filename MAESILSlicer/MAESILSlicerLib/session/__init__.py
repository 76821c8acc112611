"""One person's work on one volume: their choices, the jobs that run for them, and what comes of those."""
