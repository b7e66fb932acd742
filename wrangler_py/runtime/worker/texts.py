"""The texts that Cloudflare's runtime says, each with its source, and the names it looks for.

Sources: "workerd" is the open-source runtime, measured with version 1.20260426.1 unless a file of it is named.
"""

from __future__ import annotations

# --- handlers (workerd: a log line once per isolate, then the error of the event) --------------------------------------

LACKS_HANDLER = {
    "fetch": "Received a FetchEvent but we lack a handler for FetchEvents. Did you remember to export a fetch() function?",
    "queue": "Received a QueueEvent but we lack a handler for QueueEvents. Did you remember to export a queue() function?",
    "scheduled": (
        "Received a ScheduledEvent but we lack a handler for ScheduledEvents (a.k.a. Cron Triggers). "
        "Did you remember to export a scheduled() function?"
    ),
}
#: The errors end differently, a full stop for two of them.
NO_HANDLER = {
    "fetch": "Handler does not export a fetch() function.",
    "queue": "Handler does not export a queue() function.",
    "scheduled": "Handler does not export a scheduled() function",
}
#: workerd, src/pyodide/python-entrypoint-helper.ts
NO_LEGACY_HANDLER = 'Python entrypoint "{file}" does not export a handler named "{name}"'
MULTIPLE_ENTRYPOINTS = "Cannot define multiple default entrypoints"
SRC_PREFIX = (
    "If your main module is inside the 'src' directory then your import statement shouldn't include a 'src.' prefix"
)

#: wpy's own.
NOT_INSTALLED = (
    "{name} is not installed where this Worker runs. If it is a package: {python} -m pip install {name}{also}. To deploy, "
    "list it under [project] dependencies in pyproject.toml, too."
)

# --- queue consumers (workerd, src/workerd/api/queue.c++) -------------------------------------------------------------

IGNORED_ON_MESSAGE = (
    "Received a call to {call}() on message {id} after {earlier}() was already called. "
    "Calling {call}() on a message after calling {earlier}() has no effect."
)
IGNORED_ON_BATCH = (
    "Received a call to {call}() after {earlier}() was already called. "
    "Calling {call}() after calling {earlier}() has no effect."
)
BAD_RETRY_OPTIONS = "Failed to execute '{call}' on '{on}': parameter 1 is not of type 'QueueRetryOptions'."

# --- queue producers (workerd, src/workerd/api/queue.c++) -------------------------------------------------------------

NO_BODY_ARGUMENT = "Failed to execute 'send' on 'WorkerQueue': parameter 1 is not of type 'JsValue'."
BODY_UNDEFINED = "Message body cannot be undefined"
BAD_SEND_OPTIONS = "Failed to execute 'send' on 'WorkerQueue': parameter 2 is not of type 'SendOptions'."
BAD_BATCH_OPTIONS = "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 2 is not of type 'SendBatchOptions'."
BAD_BATCH = "Failed to execute 'sendBatch' on 'WorkerQueue': parameter 1 is not of type 'Sequence'."
BAD_BATCH_ITEM = "Incorrect type: the provided value is not of type 'MessageSendRequest'."
EMPTY_BATCH = "sendBatch() requires at least one message"
BAD_CONTENT_TYPE = "Unsupported queue message content type: {given}"
NOT_TEXT = 'Content Type "text" requires a value of type string, but received: {typeof}'
NOT_BYTES = 'Content Type "bytes" requires a value of type ArrayBufferView, but received: {typeof}'

# --- RPC (workerd, src/workerd/api/worker-rpc.c++ and jsg/ser.c++) ------------------------------------------------------

#: Names of errors that keep their name on the way to another Worker (workerd, jsg/util.c++).
STANDARD_ERRORS = frozenset(
    ("Error", "RangeError", "TypeError", "SyntaxError", "ReferenceError", "EvalError", "URIError", "AggregateError")
) | frozenset(("DataCloneError", "AbortError", "TimeoutError", "OperationError", "NotSupportedError", "NetworkError"))
NOT_SERIALIZABLE = 'Could not serialize object of type "{type}". This type does not support serialization.'
STREAM_LOCKED = "This ReadableStream is currently locked to a reader."
NO_RPC_METHOD = 'The RPC receiver does not implement the method "{name}".'
NO_METHOD = "Method {name} does not exist"
NO_ENTRYPOINT = 'Worker "{worker}" has no entrypoint named "{name}". It exports: {names}.'
STUB_GONE = "The RPC stub is gone: the Worker that made it was reloaded, or its process ended."

# --- the rest ---------------------------------------------------------------------------------------------------------

NOT_A_PROMISE = "Failed to execute 'waitUntil' on 'ExecutionContext': parameter 1 is not of type 'Promise'."

#: Cloudflare docs: Workers > Observability > Errors (disallowed operation in the global scope)
NO_EVENT = (
    "Disallowed operation called within global scope. Asynchronous I/O (ex: fetch() or connect()), setting a timeout, "
    "and generating random values are not allowed within global scope. To fix this error, perform this operation "
    "within a handler."
)

# --- wpy's own --------------------------------------------------------------------------------------------------------

NO_SDK = (
    "The package workers-runtime-sdk is not installed for {python}, which runs this Worker. "
    "Install it there (`pip install workers-runtime-sdk`), or vendor it into {folder}."
)
WRONG_SDK = (
    "The module `workers` ({file}) is not Cloudflare's. Uninstall what owns it and `pip install workers-runtime-sdk`."
)
SIGNATURE = "{where}: {signature} raises TypeError on Cloudflare, which calls {called}. Write: {fix}"
SIGNATURE_NOTES = {
    "queue": "Cloudflare calls queue(self, batch, env, ctx); env and ctx are None, use self.env and self.ctx",
    "scheduled": "Cloudflare calls scheduled(self, controller, env, ctx); env and ctx are None, use self.env and self.ctx",
    "fetch": "Cloudflare calls fetch(self, request); use self.env and self.ctx for the rest",
    "__init__": "Cloudflare calls __init__(self, ctx, env) for every event",
}
UNKNOWN_OPTION = "{call}(): the option {given} is ignored, as on Cloudflare; its name is {name}"
LEGACY_OFF = (
    "{file}: {names} is never called: module-level handlers end with compatibility date 2025-08-14. Write them as methods "
    "of `class Default(WorkerEntrypoint)`, or set the flag disable_python_no_global_handlers."
)
NO_DEFAULT = "{file}: {names}: the entrypoint that gets the events is the class named Default; there is none."
NOTHING_EXPORTED = "{file} exports no handler: write `class Default(WorkerEntrypoint)` with fetch, queue or scheduled."
ENTROPY_AT_IMPORT = (
    "{where}: {what} runs while the module is imported, where Cloudflare has no entropy and raises an error. Call it inside "
    "of a handler."
)
THREAD = "{where} starts a thread: Cloudflare raises RuntimeError: can't start new thread"
NOT_BUNDLED = (
    "{where} reads {file}, which is not part of the bundle: on Cloudflare it is not there. Bundled are *.py, *.txt, *.html, "
    "*.sql, *.bin, and what `rules` in the config name"
)
EMSCRIPTEN = (
    "python_modules/{package} is compiled for Pyodide (emscripten), which CPython cannot load. Install the package for the "
    "interpreter that runs this Worker: {python} -m pip install {package}"
)
NOT_SERVED = "wpy does not serve the binding env.{name} ({kind}) yet{advice}"
#: What to do instead, by the kind of a binding that is not served.
INSTEAD = dict.fromkeys(
    ("AI", "Vectorize Index", "Browser Run", "Images", "Stream", "Media", "AI Search Instance", "AI Search Namespace"),
    ": it runs at Cloudflare only. Put a stand-in over it with workers.patch_env, or use `wrangler dev` with `remote`",
)
#: The JavaScript class that a kind's bindings have, where workers-runtime-sdk wraps them by its name.
CLASS_OF_KIND = {"AI": "Ai", "Vectorize Index": "VectorizeIndexImpl", "Images": "ImagesBindingImpl"}
NO_OBJECTS = "this Worker has no Durable Objects: no binding and no migration names a class of it"
OBJECTS_MOVED = "Durable Object reset because its code was updated."
CIRCULAR = (
    "the body contains itself or is nested too deeply: workers-runtime-sdk cannot carry that to JavaScript, here or on "
    "Cloudflare. Send what it refers to by name or id instead"
)
CIRCULAR_HERE = "the body contains itself or is nested too deeply: workers-runtime-sdk cannot carry that to Python, here or on Cloudflare"
LOST_TYPE = (
    "env.{name}.{call}(): {type} has no JSON form; Cloudflare stores {{}} for it. Convert it to str, int or float first"
)
