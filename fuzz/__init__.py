"""Coverage-guided fuzzing: `python -m fuzz <target>`; the targets are plain functions."""
