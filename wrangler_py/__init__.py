"""wpy: the local home for background jobs on Cloudflare Workers."""

__version__ = "0.1.0"
