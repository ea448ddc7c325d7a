"""Which run folder is this database's: one row, with the mark that is also in the folder."""

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class RunFolder(Base):
    __tablename__ = "run_folder"

    # Always 1: there is one row.
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    mark: Mapped[str]
