"""Terminal output: errors and exit codes, JSON, tables, progress, a list of steps.

Imports nothing else of Oddsmith. Knows neither HTTP nor files, jobs or models.
"""
