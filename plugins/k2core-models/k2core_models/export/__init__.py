"""What was trained, as files that llama.cpp loads: a LoRA adapter or a whole model, from safetensors to GGUF."""
