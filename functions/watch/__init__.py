"""The watch: what no event tells of by itself, looked up every minute."""
