"""Where other libraries ask for answers; each module needs the extra of its name."""
