"""What a training shows and writes while it runs, and what is drawn of it afterwards."""
