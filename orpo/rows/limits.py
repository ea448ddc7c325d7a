"""How much of a file is held in memory, and how far a compressed one may be unpacked, in bytes."""

MAX_ROW_BYTES = 16 * 2**20
CHUNK_BYTES = 2**20
# Preference files are compressed about 3:1 to 20:1; gzip reaches at most 1032:1, zstd 32,000:1.
MAX_RATIO = 200
# Repeated test rows may be compressed further than that, as long as they unpack to no more than
# this.
ANY_RATIO_BYTES = 32 * 2**20
MAX_UNPACKED_BYTES = 64 * 2**30
# What zstd may hold of the text before the position: levels up to 19 need 8 MB, `--long` 128 MB.
MAX_WINDOW_BYTES = 32 * 2**20
