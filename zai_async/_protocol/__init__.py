"""The wire without I/O: bytes in, typed items out, and exactly one outcome at the end."""
