"""Small folders of Hugging Face with random weights, as save_pretrained writes them, for tests."""

import torch

WORDS = 40
ENCODER = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
DECODER = {**ENCODER, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "max_position_embeddings": 32}
GROUPED = {**DECODER, "num_key_value_heads": 2}
GPT2 = {"vocab_size": WORDS, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
# class, its configuration's class, options
KINDS = {
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "bert": ("BertForSequenceClassification", "BertConfig", {**ENCODER, "num_labels": 3}),
    "encoder": ("BertModel", "BertConfig", {**ENCODER, "num_labels": 5}),
}


def model(kind, **changes):
    """Return a small model with random weights, the same every time."""
    import transformers

    name, config, options = KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return getattr(transformers, name)(getattr(transformers, config)(**{**options, **changes})).eval()


def write(folder, kind, *, words=WORDS, dtype=torch.float32, **changes):
    """Write a small model into a folder, with a tokeniser of so many words, and return its name."""
    model(kind, **changes).to(dtype).save_pretrained(folder)
    if words:
        tokeniser(words).save_pretrained(folder)
    return f"hf:{folder}"


def tokeniser(words):
    """Return a tokeniser that knows so many words: ``w2``, ``w3``, ..."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = {"[PAD]": 0, "[UNK]": 1, **{f"w{i}": i for i in range(2, words)}}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")
