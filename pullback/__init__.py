"""The command ``pullback``: the one door to the stack on one machine, the operator's tools and the drills."""
