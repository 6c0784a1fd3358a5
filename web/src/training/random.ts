/** Seeded draws: xoshiro128** (Blackman & Vigna 2021, arXiv:1805.01407), whose state is four numbers. */

export type RandomState = readonly [number, number, number, number];

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

export class Random {
  private s: [number, number, number, number];

  private constructor(state: RandomState) {
    this.s = [...state];
  }

  /** Equal seeds give equal draws; 7 and '7' are equal. */
  static seeded(seed: string | number): Random {
    const state = [0, 1, 2, 3].map((word) => hash(`${word}:${seed}`));
    return new Random([state[0], state[1], state[2], state[3] || 1]); // all zeros would stay zeros
  }

  /** Goes on where the generator was that had this `state`. */
  static at(state: RandomState): Random {
    return new Random(state);
  }

  get state(): RandomState {
    return [...this.s];
  }

  /** Uniform among the whole numbers below `n`, which is 1 to 2³². */
  below(n: number): number {
    const fair = 2 ** 32 - (2 ** 32 % n);
    let drawn = this.next();
    while (drawn >= fair) drawn = this.next();
    return drawn % n;
  }

  /** The numbers below `n` in a drawn order (Fisher & Yates). */
  permutation(n: number): Uint32Array {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  private next(): number {
    const s = this.s;
    const drawn = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 11);
    return drawn;
  }
}

/** FNV-1a over UTF-16's units, its bits then mixed as by MurmurHash3's end. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
