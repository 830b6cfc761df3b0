"""Makes the small tokenizers of test/fixtures/tokenizers, one of each kind, with what Rust's tokenizers do on hard texts.

Needs the PyPI packages tokenizers 0.23.3 and sentencepiece 0.2.3; the tests themselves need only the files.
  python test/text/make_tokenizers.py
"""

import base64
import json
import os
import random
import tempfile
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
OUT = HERE.parent / "fixtures" / "tokenizers"

CORPUS = [
    "the quick brown fox jumps over the lazy dog and the other dogs, then they both sleep in the brown house over there.",
    "Übergrößen kosten nichts; a naïve café in 東京 is the place where the quick dogs eat 1234 cakes for $3.14!",
    "hello world, hello there: I'm sure that it's don't, can't and won't. foo.bar(baz) == 42",
    "日本語の文章と한국어 문장 и русский текст مرحبا بكم שלום नमस्ते",
] * 3
SCRAPS = [
    *("the quick", " brown", " fox", "dogs", "dog.", "hello", "Hello", "\n", "\n\n", "  ", "   ", " ", "\t", "é", "e\u0301", "café", "東京"),
    *("日本語", "한국어", "\u1112\u1161\u11ab", "русский", "مرحبا بكم", "שלום", "नमस्ते", "ภาษาไทย", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷", "𝔘𝔫𝔦"),
    *("𠀀", "ﬁ", "Ⅷ", "①", "㎏", "〜", "～", "½", "٣", "\u0000", "\u0001", "\u007f", "\u0085", "\u00a0", "\u200b", "\u200f", "\u2028"),
    *("\u3000", "\ufeff", "\ufffd", "▁", "▁▁", "<0x41>", "<s>", "</s>", "<unk>", "[MASK]", "<left>", " <left>", "<right>", "<right>  "),
    *("word", " word ", "wordy", "NORM", "norm", "1234", "3.14", "'ll", "don't", "?!", "...", '{"a": 1}', "\r\n", "-->", "x" * 30, "Straße"),
    *("ΣΑΣ", "İ", "hello_world", "foo.bar()", "ch", " do not", " 's", "the the the", "<", ">", "a" * 70),
]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIALS = ["<unk>", "<s>", "</s>"]


def bpe(pre, size=420, normalizer=None, byte_fallback=False, **options):
    tokenizer = Tokenizer(models.BPE(unk_token=options.pop("unk", None), byte_fallback=byte_fallback, **options))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    extra = {key: value for key, value in options.items() if key.endswith("fix")}
    special = SPECIALS + (BYTES if byte_fallback else [])
    alphabet = pre_tokenizers.ByteLevel.alphabet() if "ByteLevel" in repr(pre) else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False, **extra
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def plain(tokenizer):
    """Without what a trainer adds: byte tokens are part of the vocabulary only."""
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in SPECIALS]
    return Tokenizer.from_str(json.dumps(data))


def charsmap():
    """A small precompiled_charsmap, as SentencePiece compiles it from rules."""
    with tempfile.TemporaryDirectory() as directory:
        rules = Path(directory) / "rules.tsv"
        pairs = [("FB01", "66 69"), ("2460", "31"), ("338F", "6B 67"), ("3000", "20"), ("65 301", "E9"), ("FF5E", "7E"), ("A0", "20"),
                 ("1112 1161 11AB", "D55C"), ("1F1EB", "46"), ("928 947", "78"), ("1D518", "55"), ("9", "20"), ("A", "20"), ("200B", "")]
        rules.write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
        corpus = Path(directory) / "corpus.txt"
        corpus.write_text("\n".join(CORPUS))
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(Path(directory) / "m"), vocab_size=150, model_type="unigram", hard_vocab_limit=False,
            normalization_rule_tsv=str(rules), minloglevel=2)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString((Path(directory) / "m.model").read_bytes())
        return proto.normalizer_spec.precompiled_charsmap


def unigram(byte_fallback, normalizer=None, scheme="always", split=True):
    tokenizer = Tokenizer(models.Unigram())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    data = json.loads(tokenizer.to_str())
    if byte_fallback:
        data["model"]["vocab"] += [[token, -20.0] for token in BYTES]
        data["model"]["byte_fallback"] = True
    # Fewer digits, so that the file is small; the order of equal scores is part of what is tested.
    data["model"]["vocab"] = [[token, round(score, 3)] for token, score in data["model"]["vocab"]]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
    return tokenizer


def word_piece(lowercase, cleanup, **options):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, **options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece(cleanup=cleanup)
    return tokenizer


def split(pattern, behavior, invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def build():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    # GPT-2, with a space in front as RoBERTa has it.
    gpt2 = bpe(pre_tokenizers.ByteLevel(add_prefix_space=True))
    gpt2.decoder = decoders.ByteLevel()
    gpt2.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    yield "gpt2", gpt2
    # Qwen and Llama 3: a pattern, then bytes.
    qwen = bpe(pre_tokenizers.Sequence([split(GPT4, "isolated"), byte_level]), normalizer=normalizers.NFC())
    qwen.decoder = decoders.ByteLevel()
    qwen.add_tokens([AddedToken("<|im_end|>", special=True, normalized=False), AddedToken("<think>", normalized=False)])
    yield "qwen", qwen
    # Falcon, DeepSeek: several cutters in a row.
    falcon = bpe(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                          pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]", "isolated")]))
    falcon.decoder = decoders.ByteLevel()
    yield "falcon", falcon
    # Llama 2: SentencePiece's BPE with bytes for what is unknown.
    llama = plain(bpe(None, size=700, byte_fallback=True, unk="<unk>", fuse_unk=True,
                      normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])))
    llama.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    llama.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    yield "llama2", llama
    # Mistral's newer files: Metaspace at the very beginning only.
    mistral = plain(bpe(pre_tokenizers.Metaspace(prepend_scheme="first", split=False), size=700, byte_fallback=True, unk="<unk>", fuse_unk=True))
    mistral.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    mistral.add_tokens([AddedToken("norm", normalized=True)])
    yield "mistral", mistral
    # No bytes to fall back to: unknown tokens, not fused.
    unknown = bpe(pre_tokenizers.Whitespace(), unk="<unk>", size=200)
    yield "bpe-unknown", unknown
    clip = bpe(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]), unk="<unk>",
               end_of_word_suffix="</w>", continuing_subword_prefix="@", normalizer=normalizers.Lowercase(), fuse_unk=True, size=300)
    clip.decoder = decoders.BPEDecoder("</w>")
    yield "clip", clip
    # T5, XLM-RoBERTa, and with bytes.
    precompiled = normalizers.Sequence([normalizers.Precompiled(charsmap()), normalizers.Replace(Regex(" {2,}"), " ")])
    yield "unigram", unigram(False, normalizer=precompiled)
    yield "unigram-bytes", unigram(True, normalizer=normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]), split=False)
    yield "unigram-never", unigram(False, scheme="never", normalizer=normalizers.Strip(left=True, right=True))
    yield "bert-uncased", word_piece(True, True)
    yield "bert-cased", word_piece(False, False, strip_accents=None, handle_chinese_chars=False)
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence([split(r"\s", "merged_with_previous"), split("[.,]", "merged_with_next"),
                                                   split("[a-z]+|.", "removed", invert=True), pre_tokenizers.Digits(individual_digits=True)])
    words.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    words.train_from_iterator(CORPUS, trainers.WordLevelTrainer(special_tokens=SPECIALS, show_progress=False))
    yield "words", words
    added = bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizer=normalizers.Lowercase())
    added.decoder = decoders.ByteLevel()
    added.add_tokens([AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
                      AddedToken("word", single_word=True, normalized=False), AddedToken("norm", normalized=True),
                      AddedToken("\n\n", normalized=False), AddedToken("the the", normalized=True)])
    yield "added", added
    char = Tokenizer(models.BPE(unk_token="<unk>"))
    char.normalizer = normalizers.ByteLevel()
    char.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("x"), pre_tokenizers.FixedLength(7)])
    char.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIALS, show_progress=False,
                                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    char.decoder = decoders.ByteLevel()
    yield "byte-normalizer", char


def cases(tokenizer, random_source):
    texts = ["", " ", *SCRAPS] + ["".join(random_source.choices(SCRAPS, k=random_source.randrange(2, 12))) for _ in range(60)]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        yield {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, tokenizer in build():
        framed = tokenizer.encode("the fox", add_special_tokens=True).ids
        expected = {"framed": framed, "cases": list(cases(tokenizer, random.Random(name)))}
        document = {"tokenizer": json.loads(tokenizer.to_str()), **expected}
        path = OUT / f"{name}.json"
        path.write_text(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n")
        print(path.name, os.path.getsize(path), tokenizer.get_vocab_size())
        if os.environ.get("DUMP"):
            (Path(os.environ["DUMP"]) / f"{name}.json").write_text(tokenizer.to_str())


if __name__ == "__main__":
    main()
