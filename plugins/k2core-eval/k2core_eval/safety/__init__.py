"""Safety: tasks over the user's own prompt sets, and a verifier that screens reasoning as well as answers."""
