"""The pull request's side, for all who write to it: GitHub's client, the claim to a piece of work, what is shown."""
