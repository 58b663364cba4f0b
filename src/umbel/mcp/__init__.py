"""`umbel mcp`: a server of the Model Context Protocol, so that assistants can ask what failed and why.

It knows Umbel through `umbel.client` alone. What tasks say of themselves (names, arguments, exceptions) is written by
whoever sends tasks, so every answer is bounded, and marked as data.
"""
