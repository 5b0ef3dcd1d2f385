"""The report: one self-contained HTML page about a concept dictionary; and pages of single images."""

from coxlmm.report.page import explanation_html, report_html, write_explanation, write_report

__all__ = ["explanation_html", "report_html", "write_explanation", "write_report"]
