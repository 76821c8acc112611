"""DICOM: folders of slices and multi-frame files, as one volume per series."""
