"""Tasks as rows of a table, and tables as files: what `umbel tasks` prints and the API's export streams."""
