"""What several plugins need, or the kernel only when it is asked for: splitting off a model's thinking, processes, YAML."""
