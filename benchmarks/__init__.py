"""What start-up and calls cost, of the packages as they are shipped, against handlers that are written otherwise."""
