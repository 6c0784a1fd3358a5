import { beforeEach, describe, expect, it } from 'vitest';
import type { Trouble } from '../../src/messages';
import { sha256, utf8 } from '../../src/node/bytes';
import { readSealed, writeSealed } from '../../src/node/sealed';
import { Store } from '../../src/node/store';
import { Disk } from './opfs';

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const read = async (disk: Disk, damage: string[] = []) => readSealed(disk.root, 'training', (why) => damage.push(why));

describe.each([
  ['where files can be moved', true],
  ['where they cannot, and two slots take turns', false],
])('a sealed file, %s', (_, moves) => {
  let disk: Disk;
  beforeEach(() => void (disk = new Disk(moves)));

  it('is read as it was written last, with its facts', async () => {
    for (const word of ['one', 'two', 'three']) {
      await writeSealed(disk.root, 'training', { word }, utf8(word));
      const found = await read(disk);
      expect([found?.facts.word, text(found?.payload)]).toEqual([word, word]);
    }
    expect((await read(disk))?.sequence).toBe(3);
  });

  it.each(['write', 'flush', 'move'])('is the old one or the new one after a crash at any %s', async (at) => {
    await writeSealed(disk.root, 'training', {}, utf8('first'));
    await writeSealed(disk.root, 'training', {}, utf8('old'));
    disk.crashAt = (step) => step === at;
    await writeSealed(disk.root, 'training', {}, utf8('new')).catch(() => undefined);
    disk.crashAt = () => false;
    expect(['old', 'new']).toContain(text((await read(disk))?.payload));
  });

  it('is not used where a single bit is another', async () => {
    await writeSealed(disk.root, 'training', { a: 1 }, utf8('payload'));
    for (const [, file] of disk.files()) {
      for (let bit = 0; bit < 8 * file.bytes.length; bit += 61) {
        const spoilt = file.bytes.slice();
        spoilt[bit >> 3] = (spoilt[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const whole = file.bytes;
        file.bytes = spoilt;
        const damage: string[] = [];
        expect(await read(disk, damage)).toBeNull();
        expect(damage).toHaveLength(1);
        file.bytes = whole;
      }
    }
    expect(text((await read(disk))?.payload)).toBe('payload');
  });

  it('is not used where its end is missing', async () => {
    await writeSealed(disk.root, 'training', {}, utf8('payload'));
    for (const [, file] of disk.files()) {
      file.bytes = file.bytes.slice(0, -1);
    }
    expect(await read(disk)).toBeNull();
  });
});

describe('the store', () => {
  let disk: Disk;
  let troubles: Trouble[];
  let store: Store;
  beforeEach(async () => {
    disk = new Disk();
    troubles = [];
    store = await Store.open(async () => disk.root, 'http://a', (trouble) => troubles.push(trouble));
  });

  it('keeps one model, by its hash', async () => {
    const [one, two] = [utf8('model one'), utf8('model two')];
    await store.keepModel(await sha256(one), one);
    await store.keepModel(await sha256(two), two);
    expect(await store.model(await sha256(one))).toBeNull();
    expect(text((await store.model(await sha256(two))) ?? undefined)).toBe('model two');
  });

  it('forgets a model that the disk has spoilt', async () => {
    const bytes = utf8('a model');
    const hash = await sha256(bytes);
    await store.keepModel(hash, bytes);
    for (const [, file] of disk.files()) {
      file.bytes[0] = 0;
    }
    expect(await store.model(hash)).toBeNull();
    expect(disk.files().size).toBe(0);
  });

  it('gives work to nobody but the work that it is of', async () => {
    await store.write('task-a', 'training', { round: 1, node: 'me' }, utf8('half done'));
    expect(text((await store.read('task-a', 'training', { round: 1 }))?.payload)).toBe('half done');
    expect(await store.read('task-a', 'training', { round: 2 })).toBeNull();
    expect(await store.read('task-a', 'training', { round: 1 })).toBeNull(); // removed
  });

  it('says once that there is no room, and the work goes on', async () => {
    await store.write('task-a', 'training', { step: 1 }, utf8('kept'));
    disk.quota = 10;
    expect(await store.write('task-a', 'training', { step: 2 }, utf8('too much'))).toBe(false);
    expect(await store.write('task-a', 'training', { step: 3 }, utf8('too much'))).toBe(false);
    expect(troubles.map(({ code }) => code)).toEqual(['quota']);
    expect((await store.read('task-a', 'training', {}))?.facts.step).toBe(1);
  });

  it('sweeps what nobody came back to for two weeks', async () => {
    await store.write('task-old', 'update', {}, utf8('x'));
    for (const [, file] of disk.files()) {
      file.lastModified = 0;
    }
    await store.write('task-new', 'update', {}, utf8('x'));
    await store.sweep();
    expect([...disk.files().keys()]).toEqual(['potluck/task-new/update']);
  });

  it('reports what it holds, and clears it', async () => {
    await store.keepModel('ab', utf8('1234'));
    const estimate = async () => ({ usage: 4, quota: 100 });
    const report = await store.report({ estimate, persisted: async () => true });
    expect(report).toEqual({ usedBytes: 4, quotaBytes: 100, persistent: true, files: [{ name: 'model/ab', bytes: 4 }] });
    await store.clear();
    expect((await store.report({})).files).toEqual([]);
  });

  it('keeps nothing, and breaks nothing, where the browser has no such storage', async () => {
    const none = await Store.open(async () => Promise.reject(new Error('denied')), 'http://a', (trouble) => troubles.push(trouble));
    expect(await none.write('task-a', 'update', {}, utf8('x'))).toBe(false);
    expect(await none.read('task-a', 'update', {})).toBeNull();
    expect((await none.report({})).files).toEqual([]);
    expect(troubles).toEqual([]);
  });
});

describe('two servers at paths of one origin', () => {
  it('have their own storage: clearing that of one leaves that of the other', async () => {
    const disk = new Disk();
    const open = (base: string) => Store.open(async () => disk.root, base, () => undefined);
    const stores = await Promise.all(['http://host', 'http://host/a', 'http://host/b'].map(open));
    for (const store of stores) {
      await store.write('task-a', 'update', {}, utf8('kept'));
    }
    await stores[0]?.clear();
    await stores[1]?.clear();
    expect([...disk.files().keys()].map((path) => path.split('/')[0])).toEqual(['potluck%2Fb']);
  });
});
