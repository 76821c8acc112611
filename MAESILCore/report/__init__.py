"""Reports of a reconstruction for people: a picture, and a page to scroll through."""

from MAESILCore.report.figure import report_figure, write_report_png

__all__ = ["report_figure", "write_report_png"]
