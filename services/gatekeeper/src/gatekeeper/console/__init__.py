"""The console: what people see and decide in a browser. Pages are made here, and work without scripts."""
