"""How records become tokens: of any tokenizer, by marks or in plain words that a pretrained model can read."""
