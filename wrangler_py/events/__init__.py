"""What happened: announced in one place, and written into a file of its own (the record).

log       every event, announced; trace: which work it belongs to
recorder  writes the record in a thread; plain, packs: put aside at once, made sense of later
notebook  what a command writes into it; damage: a record that is set aside
digest    -> tables, what an event becomes in the record, and the record's format
reading, traces, failures, metrics, exchange   what is read from it
"""
