"""`make trace`: the waterfall of one delivery, from the local segments or from X-Ray, in the terminal and as a page."""
