"""Few-label segmentation: an encoder with a decoder learns structures from few labelled scans.

`MAESILCore` exports its functions; jobs need `cases` and the names in `run` before PyTorch is installed.
"""
