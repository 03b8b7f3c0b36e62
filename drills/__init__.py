"""Break it, and see what holds: faults, alarms, load."""
