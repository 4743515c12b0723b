"""k2-nano: families of problems with worked solutions, and the recipe by which SmolLM2-135M learns to think."""
