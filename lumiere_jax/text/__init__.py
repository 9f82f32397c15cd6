"""Text: cleaning, tokenisers, and the tokens and embeddings of prompts. Imports no JAX.

tokenizer = open_tokenizer("bytes")
tokens = tokenizer.encode(["a red circle", ""], length=32)  # "" is the null text
text = Text(embedding, tokens.mask)
"""

from lumiere_jax.text.reading import clean, read_lines, read_text, split_lines
from lumiere_jax.text.text import Text, Tokens
from lumiere_jax.text.tokenizers import (
    ByteTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    open_tokenizer,
)
from lumiere_jax.text.unread import Unread, find_unread

__all__ = [
    "ByteTokenizer",
    "SentencePieceTokenizer",
    "Text",
    "Tokenizer",
    "Tokens",
    "Unread",
    "clean",
    "find_unread",
    "open_tokenizer",
    "read_lines",
    "read_text",
    "split_lines",
]
