"""What every package may use: errors, command line, files, redaction, facts about the machine."""
