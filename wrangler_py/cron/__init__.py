"""Cron Triggers: what an expression means, when it fires, and firing it. It knows no runtime.

expression -> days        Cloudflare's grammar, and on which days it fires; why one is refused: refusal
schedule, scheduler       when it fires next; firing it on a clock
runs                      what has run (the history)
limits                    Cloudflare's numbers and texts
"""
