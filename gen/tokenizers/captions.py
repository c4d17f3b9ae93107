"""BPE trained on captions.

BPE (Sennrich et al. 2016, arXiv 1508.07909) starts from characters, here UTF-8 bytes as in GPT-2, and merges the
most frequent neighbours until the vocabulary is full. As in CLIP, captions are lower-cased and the end token has the
largest id.

    tokenizer = train(["a seven in red ink", "a two in blue ink"], vocab_size=300)
    tokenizer.decode(tokenizer.encode("A seven"))                       # "a seven"
"""

from collections.abc import Iterable

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from gen.tokenizers.bpe import BPE, END, PAD, START, UNKNOWN


def train(captions: Iterable[str], vocab_size: int) -> BPE:
    """Byte-level BPE over `captions`, with at most `vocab_size` tokens, the four special ones included.

    Only bytes that occur in the captions get a token, so that nothing in the vocabulary is untrained; any other is
    "<unk>" and reported by `unknown`. The same captions give the same tokenizer.
    Raises ValueError when there are no captions or the vocabulary cannot hold their bytes.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    around = [START, END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(around), special_tokens=[PAD, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    if tokenizer.get_vocab_size() == 2:
        raise ValueError("a tokenizer cannot be trained without captions")
    tokenizer.add_special_tokens(around)  # last, so that the end token has the largest id
    if tokenizer.get_vocab_size() > vocab_size:
        needed = tokenizer.get_vocab_size()
        raise ValueError(f"the captions need {needed} tokens before any merge, vocab_size is {vocab_size}; raise it")
    return BPE(tokenizer, START, END, PAD)
