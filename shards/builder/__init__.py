"""What the builders share: command lines, boards in memory and where they come from, writing."""
