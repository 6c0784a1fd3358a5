/** A labelled data set cut into disjoint shares with label skew, as `federation/partition.py` does, by other draws. */
import { Refused } from '../refused';
import type { Random } from '../training/random';
import { gamma } from './draws';

/** Every node gets as many at least. */
export const FEWEST = 5;

/** For each class, the parts' proportions are one draw of a symmetric Dirichlet(alpha) (Hsu et al. 2019,
 *  arXiv:1909.06335); a part that holds its even share gets nothing more (NIID-Bench, Li et al. 2022,
 *  arXiv:2102.02079). Parts then short of `FEWEST` get examples of the largest ones, so that no draw is in vain.
 *
 *  Gives each part's places in the data set, sorted: disjoint, together all of them. */
export function dirichletShares(labels: Uint32Array, parts: number, alpha: number, random: Random): Uint32Array[] {
  const n = labels.length;
  if (n < parts * FEWEST) {
    const most = Math.floor(n / FEWEST);
    const mend = most > 0 ? `rehearse with at most ${most} nodes, or give more examples` : 'give more examples';
    throw new Refused('bad_data', `${n} examples are too few for ${parts} nodes of at least ${FEWEST}.`, mend);
  }
  const shares: number[][] = Array.from({ length: parts }, () => []);
  for (const members of byClass(labels, random)) {
    const proportions = shares.map((share) => (share.length < n / parts ? gamma(random, alpha) : 0));
    let total = proportions.reduce((sum, proportion) => sum + proportion, 0);
    if (total === 0) total = proportions[smallest(shares)] = 1; // a small alpha underflows
    let [sum, from] = [0, 0];
    proportions.forEach((proportion, part) => {
      sum += proportion;
      const to = part === parts - 1 ? members.length : Math.floor((sum / total) * members.length);
      shares[part] = shares[part].concat(members.slice(from, to));
      from = to;
    });
  }
  for (let poorest = smallest(shares); shares[poorest].length < FEWEST; poorest = smallest(shares)) {
    const richest = shares.reduce((best, share) => (share.length > best.length ? share : best));
    shares[poorest].push(...richest.splice(random.below(richest.length), 1));
  }
  return shares.map((share) => Uint32Array.from(share).sort());
}

/** How many examples of each class each share holds. */
export function labelCounts(labels: Uint32Array, shares: readonly Uint32Array[], classes: number): number[][] {
  return shares.map((share) => {
    const counts = Array<number>(classes).fill(0);
    for (const place of share) counts[labels[place]] += 1;
    return counts;
  });
}

/** The places of each class's examples in a drawn order. */
function byClass(labels: Uint32Array, random: Random): Iterable<number[]> {
  const classes = new Map<number, number[]>();
  for (const label of [...new Set(labels)].sort((a, b) => a - b)) classes.set(label, []);
  for (const place of random.permutation(labels.length)) classes.get(labels[place])?.push(place);
  return classes.values();
}

/** The first of the shares with the fewest examples. */
const smallest = (shares: readonly (readonly number[])[]): number =>
  shares.reduce((best, share, part) => (share.length < shares[best].length ? part : best), 0);
