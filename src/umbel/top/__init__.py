"""`umbel top`: the pages' figures on a terminal, from the same loaders."""
