"""What several plugins need and the kernel itself does not: splitting off a model's thinking, processes that answer questions."""
