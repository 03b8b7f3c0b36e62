"""One module an action; the module's name is the action's name. See docs/actions.md for how to add one."""
