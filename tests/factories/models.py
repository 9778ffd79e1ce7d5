"""A tiny real SentenceTransformer, made on the spot: no download, a fixed seed, a vocabulary of its own."""

from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = (
    "the of a to and in is it for with on as by an array matrix graph node edge return value sort find path "
    "string number file model train test query passage vector mean sum index row column data plot tree set"
).split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_tiny_model(directory: Path, *, pooling="mean", normalize=True, seed=7, width=32, layers=2, **options) -> Path:
    """Save a two-layer BERT of dimension 32 as a SentenceTransformer; `options` go to its constructor (prompts)."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertModel

    torch.manual_seed(seed)
    plain = directory / "transformer"
    tokenizer = save_tiny_tokenizer(plain)
    BertModel(tiny_config(len(tokenizer), width, layers)).save_pretrained(plain)
    transformer = modules.Transformer(str(plain), max_seq_length=64)
    parts = [transformer, modules.Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)]
    if normalize:
        parts.append(modules.Normalize())
    saved = directory / "model"
    SentenceTransformer(modules=parts, device="cpu", **options).save_pretrained(str(saved))
    return saved


def make_tiny_cross_encoder(directory: Path, *, labels=1, seed=7) -> Path:
    """Save a two-layer BERT with a head for so many labels, as the hub has cross-encoders."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(seed)
    tokenizer = save_tiny_tokenizer(directory)
    # Wide weights give scores that differ, as a trained one's do.
    config = tiny_config(len(tokenizer), 32, 2, num_labels=labels, initializer_range=0.5)
    BertForSequenceClassification(config).save_pretrained(directory)
    return directory


def save_tiny_tokenizer(directory: Path):
    """Save a tokenizer of letters, digits and `WORDS` into a folder, which is made."""
    from transformers import BertTokenizerFast

    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *map(str, range(10)), *WORDS]
    (directory / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n")
    tokenizer = BertTokenizerFast(vocab=str(directory / "vocab.txt"), model_max_length=64)
    tokenizer.save_pretrained(directory)
    return tokenizer


def tiny_config(vocabulary: int, width: int, layers: int, **options):
    """The configuration of a small BERT of 64 positions."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        **options,
    )


def make_tiny_generator(directory: Path, *, causal=False, positions=512, seed=7) -> Path:
    """Save a T5, or a GPT-2, of random weights that writes `WORDS`, and the tokenizer of words that it reads."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        PreTrainedTokenizerFast,
        T5Config,
        T5ForConditionalGeneration,
    )

    torch.manual_seed(seed)
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(["<pad>", "</s>", "<unk>", *WORDS]))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    tokenizer.save_pretrained(directory)
    size = {"vocab_size": len(vocabulary), "pad_token_id": 0, "eos_token_id": 1}
    if causal:
        config = GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=positions, bos_token_id=1, **size)
        GPT2LMHeadModel(config).save_pretrained(directory)
        return directory
    config = T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, **size)
    T5ForConditionalGeneration(config).save_pretrained(directory)
    return directory
