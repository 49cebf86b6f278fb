"""The program beside the published implementations, and its engines beside each other."""
