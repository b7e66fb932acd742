"""Limits, defaults and texts of Workflows, each with its source.

"docs": developers.cloudflare.com/workflows (reference/limits, build/sleeping-and-retrying, build/workers-api). "engine": the
engine of wrangler 4.86, which production's has the same texts as.
"""

from __future__ import annotations

import re

#: docs: limits. engine: lib/validators.
MAX_INSTANCE_ID = 100
MAX_STEP_NAME = 256
ID_PATTERN = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9-_]*\Z")
MAX_STEPS = 10_000
#: docs: limits: what a step returns, an event's payload, the parameters of an instance (bytes).
MAX_VALUE_BYTES = 1024 * 1024
#: docs: build/workers-api, createBatch.
MAX_BATCH = 100
#: docs: limits: the longest sleep (ms).
MAX_SLEEP_MS = 365 * 24 * 3600 * 1000
#: docs: build/events-and-parameters: an event's type.
EVENT_TYPE = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9-_.]{0,99}\Z")

#: docs: build/sleeping-and-retrying: what a step has that says nothing.
RETRY_LIMIT = 5
RETRY_DELAY_MS = 10_000
RETRY_BACKOFF = "exponential"
STEP_TIMEOUT_MS = 10 * 60 * 1000
EVENT_TIMEOUT_MS = 24 * 3600 * 1000

#: A process that dies this often in a row while it runs an instance, between which no step was finished, is not tried again.
MAX_CRASHES = 5

FINAL = ("complete", "errored", "terminated")

# --- texts (engine, unless another source is named) -------------------------------------------------------------------

BAD_INSTANCE_ID = "WorkflowError: Workflow instance has invalid id"
NOT_FOUND = "instance.not_found"
EXISTS = "WorkflowError: (instance.already_exists) Instance already exists"
CANNOT_TERMINATE = "WorkflowError: (instance.cannot_terminate) Cannot terminate instance since its on a finite state"
EMPTY_BATCH = "WorkflowError: batchCreate should have at least 1 instance"
BIG_BATCH = "WorkflowError: batchCreate takes at most {limit} instances, {count} were given"
BAD_EVENT_TYPE = (
    "WorkflowError: the event type {given!r} is not valid: 1 to 100 letters, digits, hyphens, underscores and dots"
)
TOO_LARGE = "WorkflowError: {what} is too large. Maximum allowed size is 1MiB."
STEP_TOO_LARGE = "Step {name}-{count} output is too large. Maximum allowed size is 1MiB."
STEP_LIMIT = "The limit of {limit} steps has been reached. This limit can be changed in your worker configuration."
BAD_STEP_NAME = 'Step name "{name}" exceeds max length ({limit} chars) or invalid characters found'
BAD_STEP_CONFIG = (
    'Step config for "{name}" is in a invalid format. See https://developers.cloudflare.com/workflows/build/'
    "sleeping-and-retrying/"
)
PAST = "You can't sleep until a time in the past, time-traveler"
BAD_DURATION = 'The duration of "{name}" is no length of time: {given}. Write milliseconds, or a text like "5 minutes".'
SLEEP_TOO_LONG = 'The sleep "{name}" is longer than 365 days.'
TIMED_OUT = "Execution timed out after {ms}ms"
NOT_SERIALISABLE = 'Value returned from step "{name}" is not serialisable'
NOT_SERIALISABLE_FATAL = 'The execution of the Workflow instance was terminated, as the step "{name}" returned a value which is not serialisable'
ATTEMPT_LOST = "Attempt failed due to internal workflows error"
NON_RETRYABLE = (
    "The execution of the Workflow instance was terminated, as a step threw an NonRetryableError and it was not handled"
)
CRASHED = "The Worker's process ended {count} times while it ran this instance. The last time: {reason}"
NO_RUNNER = 'The workflow "{name}" belongs to the Worker "{worker}", which does not run in this session.'
UNKNOWN_WORKFLOW = 'This session has no workflow "{name}".'
