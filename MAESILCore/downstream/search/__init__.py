"""Search of similar places: an index of the features of many scans, and exact nearest neighbours in it.

`building.build_index` makes an index, `query.query_of` describes a place or region, and `index.Index` searches.
"""
