"""Prepare training data: clips of videos in shards, embeddings of captions, and tokenisers.

`lumiere_jax.prepare`, `lumiere_jax.embed_text` and `lumiere_jax.train_tokenizer` are the commands.
"""
