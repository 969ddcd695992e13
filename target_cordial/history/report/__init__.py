"""The report: one page of the runs in a journal."""
