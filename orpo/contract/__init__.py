"""The contract between the core and the platform: the input and the output of a run.

The API checks requests with these classes, workers write the spec and read the journal, the core
does the reverse. Uses nothing else of the core. Knows no torch, no tokens and no models.
"""
