"""A model of random weights, small enough to be made in a test: `python -m ...tiny_gguf OUT`.

It needs the packages gguf and numpy, and says nothing sensible; a server runs it like any other model.
"""

from __future__ import annotations

import sys

EMBED, HEADS, LAYERS, HIDDEN, CONTEXT = 64, 4, 2, 128, 4096
_SPECIAL = ("<unk>", "<s>", "</s>")


def write(path: str) -> None:
    """Write the model: llama's architecture with a vocabulary of single bytes and letters."""
    import gguf  # type: ignore[import-not-found]
    import numpy as np

    draw = np.random.default_rng(0)
    tokens, scores, kinds = vocabulary()
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny-random")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(EMBED)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(EMBED // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores(scores)
    out.add_token_types(kinds)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)

    def matrix(name: str, *shape: int) -> None:
        out.add_tensor(name, (draw.standard_normal(shape) * 0.1).astype(np.float32))

    def ones(name: str) -> None:
        out.add_tensor(name, np.ones(EMBED, dtype=np.float32))

    matrix("token_embd.weight", len(tokens), EMBED)
    matrix("output.weight", len(tokens), EMBED)
    ones("output_norm.weight")
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{layer}.{name}.weight", EMBED, EMBED)
        matrix(f"blk.{layer}.ffn_gate.weight", HIDDEN, EMBED)
        matrix(f"blk.{layer}.ffn_up.weight", HIDDEN, EMBED)
        matrix(f"blk.{layer}.ffn_down.weight", EMBED, HIDDEN)
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def vocabulary() -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and kinds (unknown 2, control 3, byte 6, normal 1) of a SentencePiece vocabulary."""
    letters = ["\u2581", *map(chr, range(ord("a"), ord("z") + 1))]
    tokens = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    kinds = [2, 3, 3, *([6] * 256), *([1] * len(letters))]
    return tokens, [0.0] * len(tokens), kinds


if __name__ == "__main__":
    write(sys.argv[1])
