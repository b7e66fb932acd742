"""Limits of KV, D1 and R2, each with its source. "docs" is developers.cloudflare.com, read in November 2026; "workerd" is
what workerd 1.20260426 with miniflare 4 answers (wrangler 4.86), measured."""

from __future__ import annotations

#: How long a write waits for another process that is writing (ms). (wpy)
BUSY_TIMEOUT_MS = 10_000

# --- KV: docs, KV > Platform > Limits, and KV > API; the texts are workerd's -------------------------------------------

KV_MAX_KEY_BYTES = 512
KV_MAX_VALUE_BYTES = 25 * 1024 * 1024
KV_MAX_METADATA_BYTES = 1024
KV_MIN_TTL_S = 60
#: workerd: 30 seconds since 2025 (60 before).
KV_MIN_CACHE_TTL_S = 30
KV_TTL_RULE = "Please specify integer greater than 0."
KV_EXPIRATION_RULE = "Please specify integer greater than the current number of seconds since the UNIX epoch."
KV_CACHE_TTL_RULE = f"Cache TTL must be at least {KV_MIN_CACHE_TTL_S}."
KV_MAX_LIST = 1000
KV_MAX_BULK_GET = 100
#: workerd: of all values of a bulk read.
KV_MAX_BULK_BYTES = 25 * 1024 * 1024
#: docs, REST API: entries of `kv bulk put` and `kv bulk delete`.
KV_MAX_BULK_WRITE = 10_000

# --- D1: docs, D1 > Platform > Limits, and workerd (src/workerd/util/sqlite.c++) ---------------------------------------

D1_MAX_PARAMETERS = 100
D1_MAX_SQL_BYTES = 100_000
#: Of a string, a blob or a row. workerd does not hold to it locally; production does.
D1_MAX_VALUE_BYTES = 2_000_000
D1_MAX_COLUMNS = 100
D1_MAX_PATTERN_BYTES = 50
#: workerd, measured; the docs still say 32.
D1_MAX_FUNCTION_ARGUMENTS = 127
#: workerd, SQLITE_LIMIT_EXPR_DEPTH
D1_MAX_EXPRESSION_DEPTH = 100
#: workerd, SQLITE_LIMIT_COMPOUND_SELECT
D1_MAX_COMPOUND_SELECT = 5

# --- R2: docs, R2 > Platform > Limits; the codes and texts are workerd's -----------------------------------------------

R2_MAX_KEY_BYTES = 1024
#: docs: "Object metadata size"; miniflare has S3's 2,048.
R2_MAX_METADATA_BYTES = 8192
R2_MAX_LIST = 1000
R2_MAX_DELETE = 1000
#: Checked where it is known first: runtime/worker/bindings/r2.py, which imports nothing from here.
R2_MAX_PARTS = 10_000
R2_MIN_PART_BYTES = 5 * 1024 * 1024
#: docs, R2 > Objects > Multipart objects: an upload that is not completed is given up after this many days.
R2_UPLOAD_DAYS = 7
#: Of one put or one part: "5 GiB (4.995 GiB)".
R2_MAX_UPLOAD_BYTES = 5 * 1024**3 - 5 * 1024**2
