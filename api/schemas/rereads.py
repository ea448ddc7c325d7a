"""Requests to read a file again under other column names."""

from api.schemas.body import Body
from api.schemas.uploads import ColumnNames


class CreateReread(Body):
    """Which columns have other names, by field, as in `POST /v1/files`."""

    columns: ColumnNames
