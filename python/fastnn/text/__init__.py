"""Text as numbers and back: tokenisers, vocabularies, batches of sequences, language models and what they write.

>>> vocabulary = Vocabulary.build([CharTokenizer()(text)], unk=None, pad=None, bos=None, eos=None)
>>> loader = StreamLoader(vocabulary.encode(text), batch_size=32, length=64)
>>> model = LanguageModel(len(vocabulary), hidden_size=256)
>>> for x, keep, y in loader:  # Carried(model, 32) hands the state from window to window
...     ...
"""

from .batching import BucketSampler, StreamLoader, pad_batch, pad_sequences, windows
from .carried import Carried
from .generate import choose, generate, next_probabilities
from .lm import LanguageModel, Perplexity, WindowLanguageModel, perplexity, sequence_log_prob
from .sequence import EncoderDecoder, OneToMany, SequenceClassifier, SequenceTagger
from .tokenize import CharTokenizer, LetterNgrams, WordTokenizer
from .vocabulary import Vocabulary

__all__ = [
    "BucketSampler", "Carried", "CharTokenizer", "EncoderDecoder", "LanguageModel", "LetterNgrams", "OneToMany",
    "Perplexity", "SequenceClassifier", "SequenceTagger", "StreamLoader", "Vocabulary", "WindowLanguageModel",
    "WordTokenizer", "choose", "generate", "next_probabilities", "pad_batch", "pad_sequences", "perplexity",
    "sequence_log_prob", "windows",
]  # fmt: skip
