"""Reading answers: text to tokens, tokens to records. Linear time, bounded depth, and nothing is ever evaluated as code."""
