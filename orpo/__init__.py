"""The training core: preference rows in, a tuned policy out. Knows no database and no broker."""

import logging

# On some CPUs it warns at each import about a kernel that it would fetch from a hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
