"""One module for each page: its route, what it reads (`load`), and the context of the template of the same name."""
