"""Downstream uses of an encoder: few-label segmentation, classification, search."""
