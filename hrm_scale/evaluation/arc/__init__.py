"""ARC by votes: every variant of a test pair is asked, the answers are turned back and counted."""
