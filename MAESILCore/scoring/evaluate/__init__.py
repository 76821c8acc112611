"""Evaluation of a model on several scans, compared with controls without learning."""

from MAESILCore.scoring.evaluate.run import EvaluatedModel, evaluate
from MAESILCore.scoring.evaluate.table import format_table, table_rows, write_results, write_table

__all__ = ["EvaluatedModel", "evaluate", "format_table", "table_rows", "write_results", "write_table"]
