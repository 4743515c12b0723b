"""How steps are written down: arithmetic by digits, words to choose from."""
