"""Search of similar places: an index of the features of many scans, and exact nearest neighbours in it."""

from MAESILCore.downstream.search.boxes import PooledBoxes
from MAESILCore.downstream.search.building import Summary, build_index
from MAESILCore.downstream.search.index import Hit, Index
from MAESILCore.downstream.search.query import Query, query_of

__all__ = ["Hit", "Index", "PooledBoxes", "Query", "Summary", "build_index", "query_of"]
