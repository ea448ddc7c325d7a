"""Evaluations, judges, and what was answered and judged, as rows. Knows no engine and no HTTP."""
