"""jazz-chords: an LSTM learns tunes over ii-V-I progressions and writes new ones, as a MIDI file to listen to.

One to many: a style (key, major or minor, slow or fast) makes the first state, the network writes one beat after the
other and hears what it has written. The tunes it learns from are made here by rules: chords of a progression, a walking
bass, a melody on chord notes with passing notes between them. How many of its notes belong to their chord is measured.

    fastnn train jazz-chords
"""

import struct

import numpy as np

import fastnn
from fastnn import nn
from fastnn.data import DataLoader
from fastnn.recipes import _common, _text
from fastnn.text import OneToMany, Vocabulary, generate, pad_sequences

NAME = "jazz-chords"
DEFAULTS = dict(epochs=25, batch_size=32, lr=5e-3)
TUNES, BARS = 1200, 8
# Degrees of a progression: the root's distance from the tonic in half tones, and the chord's notes from its root.
CHORDS = {"m7": (0, 3, 7, 10), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "m7b5": (0, 3, 6, 10), "m6": (0, 3, 7, 9)}
PROGRESSIONS = {
    "major": [[(2, "m7"), (7, "7"), (0, "maj7"), (0, "maj7")], [(0, "maj7"), (9, "m7"), (2, "m7"), (7, "7")]],
    "minor": [[(2, "m7b5"), (7, "7"), (0, "m6"), (0, "m6")], [(0, "m6"), (5, "m7"), (2, "m7b5"), (7, "7")]],
}  # fmt: skip
NOTES = "C Db D Eb E F Gb G Ab A Bb B".split()


def tune(rng):
    """The style as a vector [15] and the tune as tokens: a chord a bar, and for each of its beats bass and melody."""
    key, mode, fast = int(rng.integers(12)), str(rng.choice(["major", "minor"])), int(rng.integers(2))
    tokens, melody = [], 67
    for bar in range(BARS):
        if bar % 4 == 0:
            progression = PROGRESSIONS[mode][rng.integers(2)]
        degree, kind = progression[bar % 4]
        root = (key + degree) % 12
        tokens.append(f"chord-{NOTES[root]}-{kind}")
        notes = [(root + n) % 12 for n in CHORDS[kind]]
        for beat in range(4):
            bass = root if beat == 0 else int(rng.choice(notes))
            tokens.append(f"bass-{36 + bass}")
            for eighth in range(1 + fast):
                near = [m for m in range(melody - 5, melody + 6) if 58 <= m <= 82]
                inside = [m for m in near if m % 12 in notes]
                on = eighth == 0 or rng.random() < 0.6
                melody = int(rng.choice(inside if on and inside else near))
                tokens.append("rest" if rng.random() < 0.1 else f"note-{melody}")
    style = np.zeros(15, np.float32)
    style[[key, 12 + (mode == "minor")]] = 1
    style[14] = fast
    return style, tokens


def score(tokens):
    """Shares of melody notes and of bass notes in their chords, and of bars that have four beats."""
    chord, melody, bass, beats = (), [], [], []
    for token in tokens:
        kind, _, rest = token.partition("-")
        if kind == "chord":
            note, _, quality = rest.partition("-")
            chord = {(NOTES.index(note) + n) % 12 for n in CHORDS[quality]}
            beats.append(0)
        elif kind == "bass" and beats:
            bass.append(int(rest) % 12 in chord)
            beats[-1] += 1
        elif kind == "note" and beats:
            melody.append(int(rest) % 12 in chord)
    return {"melody_in_chord": float(np.mean(melody or [0])), "bass_in_chord": float(np.mean(bass or [0])),
            "whole_bars": float(np.mean([b == 4 for b in beats[:-1]] or [0]))}  # fmt: skip


def midi(tokens, fast, path, tempo=132):
    """Write tokens as a MIDI file of format 0: chords on channel 1, bass on 2, melody on 3."""
    beat = 480
    long = beat // 2 if fast else beat
    events, time, melody_at = [], 0, 0  # (time, order, bytes)

    def play(start, length, channel, note, loudness):
        events.append((start, 1, bytes([0x90 | channel, note, loudness])))
        events.append((start + length, 0, bytes([0x80 | channel, note, 0])))

    for token in tokens:
        kind, _, rest = token.partition("-")
        if kind == "chord":
            note, _, quality = rest.partition("-")
            for n in CHORDS[quality]:
                play(time, 4 * beat - 10, 0, 48 + (NOTES.index(note) + n) % 12, 50)
        elif kind == "bass":
            play(time, beat - 20, 1, int(rest), 80)
            melody_at, time = time, time + beat
        elif melody_at < time:
            if kind == "note":
                play(melody_at, long - 10, 2, int(rest), 90)
            melody_at += long
    track = b"\x00\xff\x51\x03" + struct.pack(">I", 60_000_000 // tempo)[1:]
    for channel, program in ((0, 0), (1, 32), (2, 11)):  # piano, double bass, vibraphone
        track += bytes([0, 0xC0 | channel, program])
    now = 0
    for when, _, data in sorted(events):
        track += _variable(when - now) + data
        now = when
    track += b"\x00\xff\x2f\x00"
    path.write_bytes(b"MThd" + struct.pack(">IHHH", 6, 0, 1, beat) + b"MTrk" + struct.pack(">I", len(track)) + track)


def _variable(number):
    """A time as MIDI writes it: seven bits a byte, the last without the high bit."""
    data = [number & 0x7F]
    while number := number >> 7:
        data.insert(0, number & 0x7F | 0x80)
    return bytes(data)


class Tunes(nn.Module):
    """The network on batches (styles, tokens)."""

    def __init__(self, vocab_size):
        super().__init__()
        self.writer = OneToMany(15, vocab_size, 128, embedding_dim=32, dropout=0.1)

    def forward(self, style, x):
        return self.writer(style, x)


def main(args):
    folder = args.folder = _common.start(args)
    rng = np.random.default_rng(args.seed)
    tunes = [tune(rng) for _ in range(TUNES)]
    vocabulary = Vocabulary.build([tokens for _, tokens in tunes], unk=None)
    vocabulary.save(folder / "vocabulary.json")
    items = []
    for style, tokens in tunes:
        ids = vocabulary.encode(tokens, bos=True, eos=True)
        items.append((style, ids[:-1], ids[1:]))
    length = max(len(ids) for _, ids, _ in items)

    def collate(batch):
        return (fastnn.tensor(np.stack([style for style, _, _ in batch])),
                pad_sequences([x for _, x, _ in batch], vocabulary.pad, length)[0],
                pad_sequences([y for _, _, y in batch], -100, length)[0])  # fmt: skip

    cut = len(items) * 9 // 10
    loader = DataLoader(items[:cut], args.batch_size, shuffle=True, seed=args.seed, collate_fn=collate)
    model = Tunes(len(vocabulary))
    _, history = _text.fit(args, NAME, model, loader, DataLoader(items[cut:], 60, collate_fn=collate))
    results = {"val_loss": history["val_loss"][-1]}

    writer, written = model.writer, []
    for name, key, mode, quick in (("C-major", 0, 12, 0), ("A-minor-fast", 9, 13, 1), ("Eb-major-fast", 3, 12, 1)):
        style = np.zeros((1, 15), np.float32)
        style[0, [key, mode]] = 1
        style[0, 14] = quick
        ids = generate(writer.decoder, 150, first=vocabulary.bos, stop=vocabulary.eos, top_p=0.95, seed=args.seed,
                       state=writer.begin(fastnn.tensor(style)))[0]  # fmt: skip
        tokens = vocabulary.decode(ids)
        written += tokens
        midi(tokens, quick, folder / f"{name}.mid")
        print(f"{name}: {' '.join(t.removeprefix('chord-') for t in tokens if t.startswith('chord'))}")
    learnt, chance = score([t for _, tokens in tunes[:100] for t in tokens]), score(tokens_by_chance(rng, vocabulary))
    results |= score(written)
    print(f"the tunes it learnt from: {learnt['melody_in_chord']:.0%} of the melody in the chord; by chance: "
          f"{chance['melody_in_chord']:.0%}")  # fmt: skip
    return results


def tokens_by_chance(rng, vocabulary):
    """Tokens drawn as often as they occur, but in no order."""
    p = np.array(vocabulary.counts, float)
    return [vocabulary.tokens[i] for i in rng.choice(len(p), 3000, p=p / p.sum())]


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
