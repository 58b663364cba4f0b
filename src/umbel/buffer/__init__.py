"""A bounded log on disk between the process that captures and the one that stores."""
