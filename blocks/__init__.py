"""Saved configuration: what is set up once and used by many searches.

Imported by the Prefect server and worker at start, so it stays light. The blocks themselves come with the
collection (see the changelog).
"""
