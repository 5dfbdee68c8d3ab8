"""What a model is to predict of a document: the corruptions, one file a kind, and the table that names them."""
