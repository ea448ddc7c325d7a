"""The numbers of all advisory locks of Postgres (`database.alone`).

A lock for one object, such as a file that is checked, has the object's id as its key instead.
"""

from enum import IntEnum


class Lock(IntEnum):
    """Work that one process of an installation does at a time."""

    KEEPER = 0x0DD5
    ENGINES = 0x0DD6
    RESTORE = 0x0DD7
