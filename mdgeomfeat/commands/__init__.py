"""From files to a folder of results: the glue between the rooms."""
