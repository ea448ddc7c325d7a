"""What a terminal shows: errors and exit codes, JSON, tables, progress, a list of steps.

Uses nothing of Oddsmith. Knows neither HTTP nor any noun.
"""
