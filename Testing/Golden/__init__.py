"""Golden results: what MAESIL gave before a large change, to be compared with what it gives after it.

`record.py` records results of the command line on one machine and `compare.py` compares two records. `masks.json` holds
the hashes of masks, which are the same on every machine. `files/` holds a run folder and scenes of MAESIL 0.1.0.
"""
