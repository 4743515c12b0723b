"""`python -m k2core_decoder_vllm.embedded FOLDER [--layers N]`: the embedded GGUF model as a folder that vLLM can load.

With --layers only its first layers, which is the simplest draft model that has its vocabulary.

Needs what the extra `embedded` of this distribution installs beside vLLM's own transformers; the weights become bfloat16.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct"


def write(folder: Path, layers: int = 0) -> None:
    """Fetch the model unless it is here, and write it, or its first `layers`. Nothing is done when the folder has one."""
    if (folder / "config.json").is_file():
        return
    import torch
    import transformers
    from k2core_models.fetch import fetch
    from k2core_models.models import known

    library: Any = transformers  # its types change from release to release
    path = fetch(known(NAME))
    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    config = library.GgufConfig(dequantize=True)
    model = library.AutoModelForCausalLM.from_pretrained(**place, quantization_config=config, dtype=torch.bfloat16)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if layers:
        del model.model.layers[layers:]
        model.config.num_hidden_layers = layers
        if getattr(model.config, "layer_types", None):
            model.config.layer_types = model.config.layer_types[:layers]
    library.AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=0, metavar="N")
    given = parser.parse_args()
    write(given.folder, given.layers)
