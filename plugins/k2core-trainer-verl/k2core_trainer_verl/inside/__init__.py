"""What runs in verl's environment, in a process of its own: it imports verl and its like, the trainer itself does not."""
