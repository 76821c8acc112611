"""Reports of a reconstruction for people: a picture, and a page to scroll through."""

from MAESILCore.report.figure import report_figure, write_report_png
from MAESILCore.report.page import write_report_html

__all__ = ["report_figure", "write_report_html", "write_report_png"]
