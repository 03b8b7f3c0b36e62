"""One module or folder an action, whose name is the action's name. See docs/actions.md for how to add one."""
