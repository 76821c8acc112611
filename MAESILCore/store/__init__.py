"""The store: a folder of CT scans in Zarr 3, made by `maesil prepare`, from which crops are read quickly.

`layout` describes the files, `reader` reads boxes of voxels, `opened` is the store for readers, and `preparing` fills
it.
"""
