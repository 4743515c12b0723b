"""A model being trained. Importing this package is light; `policy` and its neighbours import torch."""
