"""Which problems a training tries: named, mixed, split, and drawn by how hard they have been. No torch in here."""
