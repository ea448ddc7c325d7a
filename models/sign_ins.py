"""Sign-ins: browsers that use an API key, and links that sign a browser in. Stores only hashes."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Created


class SignIn(Created, Base):
    __tablename__ = "sign_ins"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), index=True)
    # True: a link, good for one use. False: a browser's cookie.
    is_link: Mapped[bool]
    expires_at: Mapped[datetime]
