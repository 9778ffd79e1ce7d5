"""A text that is cut before it is tokenised has the tokens that it would have whole, for every kind of tokenizer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from components.model.encoder import Encoder
from components.model.text_cut import TextCut

TEXTS = ["sort the array", "find a path, in the graph!", "sum: the column (of a data-set)", "été naïve 中文 字符 🏳️‍🌈"]
MOST = 16


def trained(model, trainer, normalizer, pre_tokenizer) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    return tokenizer


def bert() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    model = models.WordPiece(unk_token="[UNK]")
    return trained(model, trainer, normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())


def roberta() -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    return trained(models.BPE(), trainer, None, pre_tokenizers.ByteLevel(add_prefix_space=False))


def sentencepiece() -> Tokenizer:
    trainer = trainers.UnigramTrainer(vocab_size=100, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    return trained(models.Unigram(), trainer, normalizer, pre_tokenizers.Metaspace())


def with_a_phrase() -> Tokenizer:
    tokenizer = bert()
    tokenizer.add_tokens([AddedToken("the graph", normalized=False), AddedToken("a(b", normalized=False)])
    return tokenizer


KINDS = {"BERT": bert, "RoBERTa": roberta, "SentencePiece": sentencepiece, "a token with a space": with_a_phrase}
WORDS = ["sort", "array", "the graph", "[SEP]", "[MASK]", "a(b", "e\u0301", "中", "文", "🏳️‍🌈", "\u0301", "x" * 120, "Σ"]
PIECES = st.sampled_from([*" \n\t.,!()[]-", "  ", "\u3000", "\u00a0", "it's", "1234", "``", *WORDS])


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def tokenizer(request) -> Tokenizer:
    return request.param()


@settings(max_examples=300, deadline=None)
@given(text=st.lists(PIECES | st.text(max_size=3), max_size=60).map("".join), length=st.integers(1, 120))
def test_cut_keeps_the_first_tokens(tokenizer, text, length):
    piece = TextCut(tokenizer).cut(text, length)
    assert text.startswith(piece)
    text, piece = (part.encode("utf-8", "replace").decode() for part in (text, piece))
    whole, part = tokenizer.encode(text).ids, tokenizer.encode(piece).ids
    assert part == whole[: len(part)]


@pytest.mark.parametrize("name", ["BERT", "RoBERTa", "SentencePiece"])
def test_cut_of_a_long_text_is_short(name):
    text = "sort the array and find a path " * 3000
    assert len(TextCut(KINDS[name]()).cut(text, 1000)) <= 1000


@pytest.mark.parametrize(
    "pre_tokenizer",
    [None, pre_tokenizers.Metaspace(split=False), pre_tokenizers.Split(Regex("a b"), "isolated")],
    ids=["none", "one that keeps spaces", "an expression"],
)
def test_cut_leaves_the_text_whole_where_nothing_is_known(pre_tokenizer):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.BPEDecoder()
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    assert TextCut(tokenizer).cut("a b " * 100, 10) == "a b " * 100


LONG = {
    "words": "sort the array " * 2000,
    "long words": ("x" * 99 + " ") * 300,
    "one word": "x" * 30_000,
    "ideographs": "中" * 30_000,
    "few tokens": "\u0301" * 20_000 + " sort" * 50,
    "spaces": " " * 20_000 + "sort the array" * 20,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_tokenize_of_a_long_text_gives_the_tokens_of_the_whole(exported_tiny_model, text):
    encoder = Encoder.open(exported_tiny_model)
    (tokens,) = encoder.tokenize([text])
    whole = encoder._tokenizer.encode_batch_fast([text])[0]  # as it is without a cut
    assert tokens.ids.tolist() == whole.ids
    assert tokens.was_cut == bool(whole.overflowing)
