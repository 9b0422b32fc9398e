"""Text as numbers and back: tokenisers, vocabularies, batches of sequences, language models and what they write,
word vectors.

>>> vocabulary = Vocabulary.build([CharTokenizer()(text)], unk=None, pad=None, bos=None, eos=None)
>>> loader = StreamLoader(vocabulary.encode(text), batch_size=32, length=64)
>>> model = LanguageModel(len(vocabulary), hidden_size=256)
>>> for x, keep, y in loader:  # Carried(model, 32) hands the state from window to window
...     ...
"""

from .batching import BucketSampler, StreamLoader, pad_batch, pad_sequences, windows
from .bias import bias_direction, debias, equalize, neutralize
from .carried import Carried
from .generate import choose, generate, next_probabilities
from .glove import GloVe, cooccurrences, glove_weight
from .lm import LanguageModel, Perplexity, WindowLanguageModel, perplexity, sequence_log_prob
from .sequence import EncoderDecoder, OneToMany, SequenceClassifier, SequenceTagger
from .tokenize import CharTokenizer, LetterNgrams, WordTokenizer
from .vectors import KeyedVectors, cosine_similarity, spearman
from .vectors_io import load_analogies, load_pairs
from .vocabulary import Vocabulary
from .word2vec import Word2Vec, alias_table, huffman_paths, keep_probability

__all__ = [
    "BucketSampler", "Carried", "CharTokenizer", "EncoderDecoder", "GloVe", "KeyedVectors", "LanguageModel",
    "LetterNgrams", "OneToMany", "Perplexity", "SequenceClassifier", "SequenceTagger", "StreamLoader", "Vocabulary",
    "WindowLanguageModel", "Word2Vec", "WordTokenizer", "alias_table", "bias_direction", "choose", "cooccurrences",
    "cosine_similarity", "debias", "equalize", "generate", "glove_weight", "huffman_paths", "keep_probability",
    "load_analogies", "load_pairs", "neutralize", "next_probabilities", "pad_batch", "pad_sequences", "perplexity",
    "sequence_log_prob", "spearman", "windows",
]  # fmt: skip
