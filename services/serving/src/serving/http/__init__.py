"""The protocols that clients speak: each module reads requests and writes responses and errors."""
