"""wpy and wrangler side by side: `python -m bench`. See docs/performance.md."""
