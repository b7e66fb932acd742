"""Limits and texts of Durable Objects, each with its source.

"measured": by running workerd 1.20260426.1 under wrangler 4.86. "workerd": read in the runtime's own texts. "docs":
developers.cloudflare.com/durable-objects (platform/limits, api/...).
"""

from __future__ import annotations

# --- limits -----------------------------------------------------------------------------------------------------------

#: Objects whose class came with `new_classes` (docs, workerd): bytes of a key, of a value, keys in one call.
MAX_KEY_BYTES = 2048
MAX_VALUE_BYTES = 128 * 1024
MAX_KEYS = 128
#: Objects whose class came with `new_sqlite_classes` (docs): bytes of a key and its value together.
MAX_ROW_BYTES = 2 * 1024 * 1024
#: How long `blockConcurrencyWhile` may take (seconds; docs).
BLOCK_LIMIT_S = 30.0
#: How long a sleeping object stays in memory at least (seconds; docs, lifecycle: 10 s without a request).
IDLE_S = 10.0
#: WebSockets (docs, measured): tags of one, characters of a tag, bytes of an attachment, sockets of an object.
MAX_TAGS = 10
MAX_TAG_LENGTH = 256
MAX_SOCKETS = 32768

# --- ids and namespaces (measured) ------------------------------------------------------------------------------------

BAD_ID_TEXT = "Invalid Durable Object ID: must be 64 hex digits"
FOREIGN_ID = "Durable Object ID is not valid for this namespace."
BAD_ID_ARGUMENT = "Failed to execute '{call}' on 'DurableObjectNamespace': parameter 1 is not of type '{wanted}'."
#: Production knows these (docs, data location); workerd has none.
JURISDICTIONS = ("eu", "fedramp", "fedramp-high", "us")
BAD_JURISDICTION = (
    "jurisdiction called with an unsupported jurisdiction: {given}. Cloudflare has eu, fedramp, fedramp-high and us."
)

# --- stubs (measured) -------------------------------------------------------------------------------------------------

RESERVED_METHOD = "'{name}' is a reserved method and cannot be called over RPC."
#: Names that JavaScript, or the runtime, calls itself.
RESERVED = frozenset(
    ("alarm", "webSocketMessage", "webSocketClose", "webSocketError", "fetch", "connect", "constructor", "dup")
)

# --- life of an object (measured, workerd) ----------------------------------------------------------------------------

ABORTED = "Application called abort() to reset Durable Object."
BLOCKED_TOO_LONG = (
    "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable "
    "Object was reset."
)
WRITE_FAILED = "Internal error in Durable Object storage write caused object to be reset."
NO_LONGER = "Durable Object storage is no longer accessible."

# --- storage (measured) -----------------------------------------------------------------------------------------------

BAD_KEYS = "Failed to execute '{call}' on '{on}': parameter 1 is not of type 'string or Array'."
BAD_LIST_OPTIONS = "Failed to execute 'list' on '{on}': parameter 1 is not of type 'ListOptions'."
BAD_PUT = (
    "put() may only be called with a single key-value pair and optional options as put(key, value, options) or with "
    "multiple key-value pairs and optional options as put(entries, options)"
)
PUT_UNDEFINED = "put() called with undefined value."
KEY_TOO_LARGE = "Keys cannot be larger than {limit} bytes. A key of size {size} was provided."
VALUE_TOO_LARGE = "Values cannot be larger than {limit} bytes. A value of size {size} was provided."
TOO_MANY_KEYS = "Maximum number of keys is {limit}. {size} keys were provided."
TOO_MANY_PAIRS = "Maximum number of pairs is {limit}. {size} pairs were provided."
ROW_TOO_LARGE = "string or blob too big: SQLITE_TOOBIG"
START_TWICE = "list() cannot be called with both start and startAfter values."
LIST_LIMIT = "List limit must be positive."
BAD_ALARM = "Failed to execute 'setAlarm' on '{on}': parameter 1 is not of type 'date'."
NOT_A_DATE = "The value cannot be converted because it is not a valid Date."
ALARM_IN_PAST = "setAlarm() cannot be called with an alarm time <= 0"
NO_ALARM_HANDLER = "Your Durable Object class must have an alarm() handler in order to call setAlarm()"
ROLLED_BACK = "Cannot {call}() on rolled back transaction"
COMMITTED = "Cannot call {call}() on transaction that has already committed: did you move `txn` outside of the closure?"
NO_DELETE_ALL_IN_TXN = "Cannot call deleteAll() within a transaction"
NO_RECOVERY = "This Durable Object's storage back-end does not implement point-in-time recovery."

# --- SQL (measured) ---------------------------------------------------------------------------------------------------

NO_SQL = (
    "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` within "
    "the 'migrations' field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` "
    "in your workerd config for the class. Note that this change cannot be made after the class is already deployed to "
    "production."
)
NO_SYNC_KV = (
    "The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's namespace "
    "is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` itself (e.g. "
    "`storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` within the 'migrations' "
    "field in your wrangler.jsonc or wrangler.toml file. If using workerd directly,set `enableSql = true` in your workerd "
    "config for the class. Note that this change cannot be made after the class is already deployed to production."
)
NO_TRANSACTIONS = (
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs instead "
    "of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will automatically roll "
    "back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic write coalescing."
)
NO_STATEMENT = "SQL code did not contain a statement."
ONE_HAS_NONE = "Expected exactly one result from SQL query, but got no results."
ONE_HAS_MANY = "Expected exactly one result from SQL query, but got multiple results."
WRONG_BINDINGS = "Wrong number of parameter bindings for SQL query."
BINDINGS_NOT_LAST = (
    "When executing multiple SQL statements in a single call, only the last statement can have parameters."
)
NO_BIGINT = "Cannot convert a BigInt value to a number"

# --- WebSockets (measured) --------------------------------------------------------------------------------------------

TAKEN_BY_ACCEPT = "Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`"
TOO_MANY_TAGS = "a Hibernatable WebSocket cannot have more than {limit} tags"
TAG_TOO_LONG = '"{tag}" is longer than the max tag length ({limit} characters).'
NO_TAGS_YET = "you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket."
TOO_MANY_SOCKETS = "only {limit} websockets can be accepted on a single Durable Object instance"
