"""OpenAI's API: chat completions, responses, models, and errors in its form."""
