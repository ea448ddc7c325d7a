"""The training core: preference rows in, a tuned policy out. Knows no database and no broker."""

import logging

# On some CPUs it warns, whenever it is loaded, of a kernel that it would fetch from a hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
