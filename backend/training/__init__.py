"""Corpus, tokenizer and training of the embedded models; nothing else imports this package."""
