"""The operator's tools, for a deployed stack as well as for the local one."""
