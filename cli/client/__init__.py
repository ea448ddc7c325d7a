"""The API as a terminal program sees it: requests, streams, answers side by side.

Uses the stack's folder, which holds a running stack's address and key, and the view for errors.
Knows no subcommand.
"""
