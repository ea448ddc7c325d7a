"""What users bring: preference files, base models, downloads from a hub.

Uses jobs, access, processes and platform.
"""
