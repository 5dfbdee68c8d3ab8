"""Documents of a user's own: a file or a folder of text, Markdown and tables, read with titles and sources."""
