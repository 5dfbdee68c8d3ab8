"""What size costs: large corpora, many questions, several processes, one command each."""
