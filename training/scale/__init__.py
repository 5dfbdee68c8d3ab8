"""What size costs, measured beside a former build: large corpora, many questions, several processes."""
