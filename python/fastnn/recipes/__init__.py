"""The course's systems, each a script that trains with one command: ``fastnn train NAME``.

A recipe is a module with ``DEFAULTS`` (its options) and ``main(args)``, which returns what it measured. One that can
be asked for predictions also has ``build_model()``, ``INPUT`` (the shape of an example), ``prepare(examples)`` (to a
batch) and ``CLASSES``. The table below is all that ``fastnn list`` reads, so listing imports nothing.
"""

from typing import NamedTuple


class Recipe(NamedTuple):
    """One line of ``fastnn list``."""

    name: str
    task: str
    data: str
    expected: str
    time: str
    takes: str = ""  # what `fastnn predict` may be given; empty: nothing

    @property
    def module(self) -> str:
        return "fastnn.recipes." + self.name.replace("-", "_")


RECIPES = {
    r.name: r
    for r in [
        Recipe("digits", "read handwritten digits, 8x8", "scikit-learn digits (embedded)", "98 % test accuracy", "10 s",
               "8x8 grey image"),
        Recipe("mnist-mlp", "read handwritten digits, 28x28", "MNIST (IDX files)", "98.5 % test accuracy", "30 s",
               "28x28 grey image"),
        Recipe("fashion-mlp", "recognise clothes", "Fashion-MNIST (IDX files)", "89.5 % test accuracy", "30 s",
               "28x28 grey image"),
        Recipe("logistic-cat", "cat or not, logistic regression", "course photographs (HDF5)", "70 % test accuracy",
               "5 s", "64x64 colour image"),
        Recipe("deep-cat", "cat or not, four layers", "course photographs (HDF5)", "80 % test accuracy", "30 s",
               "64x64 colour image"),
        Recipe("lenet-mnist", "read digits with convolutions", "MNIST (IDX files)", "99.0 % test accuracy", "1 min",
               "28x28 grey image"),
        Recipe("edge-filters", "learn Sobel's filter from examples", "a photograph, or drawn", "the filter, to 1e-5",
               "5 s"),
        Recipe("classify-image", "what is in a picture, 1000 classes", "published SqueezeNet weights",
               "a cat is a cat, 91 %", "3 s", "colour image"),
        Recipe("resnet-signs", "read digits shown by hands", "course photographs", "97 % test accuracy", "1 min",
               "64x64 colour image"),
        Recipe("happy-house", "smiling or not", "course photographs", "80 % of 32 test images", "15 s",
               "64x64 colour image"),
        Recipe("transfer-signs", "read hands on features learnt elsewhere", "course photographs, weights",
               "90 % test accuracy", "20 s"),
        Recipe("see-layers", "filters, activations, saliency, Grad-CAM", "published SqueezeNet weights",
               "pictures", "10 s"),
        Recipe("plain-vs-residual", "deep networks with and without shortcuts", "CIFAR-10, 3,000 images",
               "deep plain nets train worse", "1 min"),
        Recipe("cnn-fashion", "recognise clothes with convolutions", "Fashion-MNIST (IDX files)",
               "92 % test accuracy", "4 min", "28x28 grey image"),
        Recipe("char-shakespeare", "write like Shakespeare, letter by letter", "tiny Shakespeare",
               "1.50 nats a character", "5 min"),
        Recipe("word-lm", "the next word of an article", "WikiText-2, valid part", "perplexity 140", "4 min"),
        Recipe("names", "invent given names: RNN, GRU, LSTM", "names.txt", "2.1 nats a letter", "1 min"),
        Recipe("dinosaur-names", "an RNN from scratch names dinosaurs", "dinos.txt", "1.7 nats a letter", "15 s"),
        Recipe("slot-filling", "where to, where from, when", "generated sentences", "F1 100 %, without memory 75 %",
               "10 s"),
        Recipe("ner-tagger", "people, places, companies", "generated sentences", "F1 93 %, from the left 75 %", "5 s"),
        Recipe("temperature-forecast", "tomorrow's temperature, every day", "generated, 24 years",
               "2.0 degrees, average 2.3", "5 s"),
        Recipe("rnn-gradients", "gradients that vanish and explode", "noise", "curves", "5 s"),
        Recipe("jazz-chords", "write tunes over ii-V-I, as MIDI", "generated tunes", "90 % of notes in chord", "1 min"),
        Recipe("cifar-resnet20", "photographs of ten kinds, residual network", "CIFAR-10, 10,000 images",
               "75 % test accuracy", "4 min", "32x32 colour image"),
        Recipe("inception-cifar", "photographs of ten kinds, Inception modules", "CIFAR-10, 10,000 images",
               "learning curves", "3 min", "32x32 colour image"),
        Recipe("planar", "separate the petals of a flower", "generated, 400 points", "90 % accuracy", "5 s",
               "points x, y"),
        Recipe("xor", "exclusive or, which no line can separate", "generated, 4 points", "100 % accuracy", "2 s",
               "points x, y"),
        Recipe("regularization", "none, L2 and dropout side by side", "generated, 211 points", "L2 overfits least",
               "5 s"),
        Recipe("initialization", "zeros, large random and He", "generated, 300 points", "He 95 %, zeros 50 %", "5 s"),
        Recipe("tune-fashion", "search for learning rate, width and dropout", "Fashion-MNIST (IDX files)",
               "tuned beats the default", "1 min"),
        Recipe("optimizer-paths", "how four optimisers walk through valleys", "four functions of two numbers",
               "Adam leaves plateaus", "5 s"),
        Recipe("batch-norm", "with and without batch normalisation", "Fashion-MNIST, 12,000 images",
               "83 % against 73 %", "15 s"),
        Recipe("lr-range", "a learning rate from one short run", "Fashion-MNIST (IDX files)",
               "82 % in one epoch", "15 s"),
        Recipe("diagnose-demo", "four diseases of a model, told and cured", "MNIST, CIFAR-10 photographs",
               "4 of 4 diagnosed, 4 cured", "2 min"),
        Recipe("multi-task", "ten questions, one network or ten", "Fashion-MNIST (IDX files)",
               "together 76 %, apart 74 %", "2 min"),
        Recipe("domain-adaptation", "digits on photographs without their labels", "MNIST, CIFAR-10 photographs",
               "82 %, without adversary 75 %", "1 min"),
        Recipe("pipeline-vs-end-to-end", "find then read, or read at once", "MNIST, CIFAR-10 photographs",
               "87 %; 30,000 pairs: 92 %", "2 min"),
        Recipe("error-analysis-fashion", "mistakes tagged, and what is to be won", "Fashion-MNIST (IDX files)",
               "look-alike tops: 88 % of errors", "1 min"),
        Recipe("optimizers", "GD, mini-batch, momentum, RMSprop, Adam", "generated, 300 points", "Adam first", "5 s"),
        Recipe("word2vec-text8", "vectors of words from their neighbours", "text8, 1.2 million words",
               "5.4 % of analogies, WS-353 0.41", "20 s"),
        Recipe("glove-text8", "vectors of words from counts", "text8, 1.2 million words",
               "5 % of analogies, WS-353 0.34", "30 s"),
        Recipe("analogies", "man is to king as woman is to ...", "text8, or your own vectors", "by section", "20 s"),
        Recipe("debias", "take he and she out of words", "text8, or your own vectors",
               "neutral words stay so", "20 s"),
        Recipe("sentiment-lstm", "is a film review positive, read in order", "rt-polarity, phrases of SST-2",
               "76.7 % test accuracy", "2 min"),
        Recipe("sentiment-average", "is a film review positive, from the mean of its words", "rt-polarity",
               "76 % test accuracy", "10 s"),
    ]
}  # fmt: skip
