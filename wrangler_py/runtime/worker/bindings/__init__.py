"""What stands behind `env.<NAME>` for bindings other than queues: objects of JavaScript's kind, which workers-runtime-sdk
wraps as it wraps Cloudflare's. Their work is done by the server."""
