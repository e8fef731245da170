"""Amends reads a thread and returns a report: sentiment, the company's conduct, and what it does to loyalty."""
