"""Asynchronous schedules: who goes on, who pauses and who stops, decided report by report."""
