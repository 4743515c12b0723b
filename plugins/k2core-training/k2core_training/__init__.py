"""What trainers share. Importing this, or any module of it but `modelling` and `optimizing`, does not import torch."""
