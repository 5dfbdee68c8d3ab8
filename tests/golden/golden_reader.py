"""Load model folders with transformers alone and print what they say: one JSON object on the last line.

    python -I tests/golden/golden_reader.py FOLDER ...

Run so, it is a reader without the package, who trusts the code in the folder; `read_models` is also called from
a process that has the package, which must say the same.
"""

import hashlib
import json
import sys

PROMPT = "Where was "


def read_models(folders: list[str], **loading) -> dict[str, dict]:
    """Of every folder: classes, logits for `PROMPT` and what the model writes after it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = {}
    for folder in folders:
        tokenizer = AutoTokenizer.from_pretrained(folder, **loading)
        model = AutoModelForCausalLM.from_pretrained(folder, **loading).eval()
        inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            logits = model(**inputs).logits
            text = tokenizer.decode(model.generate(**inputs, max_new_tokens=12, do_sample=False)[0])
        found[folder] = {
            "classes": [type(model).__name__, type(tokenizer).__name__],
            "logits": logits[0, -1, :8].tolist(),
            "all_logits": hashlib.sha256(logits.numpy().tobytes()).hexdigest(),
            "continuation": text,
        }
    return found


if __name__ == "__main__":
    sys.modules["closedbook"] = None  # any import of the package now fails
    report = read_models(sys.argv[1:], trust_remote_code=True)
    if any(name.startswith("closedbook.") for name in sys.modules):
        raise SystemExit("the package was imported by a reader who must do without it")
    print(json.dumps(report))
