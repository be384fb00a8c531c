/** Proof packs that somebody changed, with the sums written anew where that helps them: each is told its place. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waiveCells } from '../../src/ledger/waive.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import { answer, closed, FINAL, values } from '../database/answers.ts';
import { addTracking } from '../database/ledger.ts';
import { type Ended, jsonOf, runProgram } from '../support/program.ts';
import { devices, load } from '../views/loads.ts';
import { type Books, openBooks } from './books.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const PUBLIC_PEM = publicKey.export({ type: 'spki', format: 'pem' }) as string;

let books: Books;
/** The closing of March, and its adjustment below it; the same signed; and those of April, which follow. */
let march: string;
let signed: string;
/** Acme has sources and a restated day, Beta an accepted day, Gamma a day that was late. */
const org = { acme: '', beta: '', gamma: '' };

async function closeTwice(month: string, key: typeof privateKey | null): Promise<string> {
  const day = (number: number) => `${month}-${number}`;
  const range = { from: day(10), to: day(12) };
  const [acme, beta, gamma] = [
    await books.orgOf(range),
    await books.orgOf(range, { without: [day(11)] }),
    await books.orgOf(range, { without: [day(12)] }),
  ];
  Object.assign(org, { acme, beta, gamma });
  await addTracking(books.ledger.db, acme, {
    streams: ['payload_sources'],
    days: `{[${day(10)},${day(12)}]}`,
  });
  const count = (date: string, sentAt: string, ...each: readonly (readonly [string, number])[]) =>
    answer(values(...each.map(([source, number]) => ({ key: ['timer', source], values: [number] }))), {
      ...{ orgId: acme, day: date, stream: payloadSources, age: FINAL, sentAtMs: Date.parse(sentAt) },
    });
  const [noon, one] = ['2026-11-22T12:00:00Z', '2026-11-22T13:00:00Z'];
  await load(books.ledger, [
    count(day(10), noon, ['a', 5], ['b', 6]),
    count(day(11), noon, ['a', 7]),
    count(day(12), noon, ['b', 8]),
    answer(closed, { orgId: beta, day: day(11), age: FINAL }),
  ]);
  await load(books.ledger, [{ ...devices(acme, day(11), 6, 1, 17), sentAtMs: Date.parse(one) }]);
  const accepted = { orgId: beta, stream: 'device_counts', range: { from: day(11), to: day(11) } };
  await waiveCells(books.ledger.db, { ...accepted, reason: 'agreed', asZero: false });
  expect((await books.closeMonth(month, { reason: 'Gamma is late', signingKey: key })).kind).toBe('closed');
  await load(books.ledger, [devices(gamma, day(12), 4, 1, 17), count(day(12), one, ['b', 9])]);
  expect((await books.closeMonth(month, { isAdjustment: true, signingKey: key })).kind).toBe('closed');
  const { out, problems } = await books.verifyMonth(month);
  expect(problems).toEqual([]);
  return out;
}

beforeAll(async () => {
  books = await openBooks();
  signed = await closeTwice('2026-02', privateKey);
  march = await closeTwice('2026-03', null);
});

afterAll(() => books.close());

const verifyIn = async (out: string, ...more: readonly string[]): Promise<Ended> =>
  await runProgram(['verify', out, '--json', ...more], {});

interface Verified {
  readonly ok: boolean;
  readonly problems: readonly { readonly file: string; readonly problem: string }[];
  readonly notes: readonly string[];
}

interface ManifestFile {
  name: string;
  columns: string[];
  rows: number;
  bytes: number;
  sha256: string;
}

interface ManifestText {
  statement: Record<string, unknown> & { earlier: { number: number; sha256: string }[] };
  signedBy: string | null;
  totals: { metric: string; unit: string; orgs: number; quantity: string }[];
  files: ManifestFile[];
}

/** A copy of packs for somebody to change. */
class Copy {
  readonly out: string;

  private constructor(out: string) {
    this.out = out;
  }

  static async of(packs: string): Promise<Copy> {
    const out = join(books.folder, `copy-${Math.random()}`);
    await cp(packs, out, { recursive: true });
    return new Copy(out);
  }

  path(...names: readonly string[]): string {
    return join(this.out, ...names);
  }

  /** Changes the text of a file, and nothing else. */
  async edit(name: string, change: (text: string) => string): Promise<void> {
    const before = await readFile(this.path(name), 'utf8');
    const after = change(before);
    expect(after).not.toBe(before);
    await writeFile(this.path(name), after);
  }

  async editManifest(change: (manifest: ManifestText) => void, folder = ''): Promise<void> {
    await this.edit(join(folder, 'manifest.json'), (text) => {
      const manifest = JSON.parse(text) as ManifestText;
      change(manifest);
      return `${JSON.stringify(manifest, null, 2)}\n`;
    });
  }

  /** Changes a file and writes its hash, size and rows anew, as somebody would who knows what is checked. */
  async forge(name: string, change: (text: string) => string, folder = ''): Promise<void> {
    await this.edit(join(folder, name), change);
    const text = await readFile(this.path(folder, name), 'utf8');
    await this.editManifest(({ files }) => {
      for (const file of files.filter((each) => each.name === name)) {
        file.rows = text.split('\r\n').length - 2;
        file.bytes = Buffer.byteLength(text);
        file.sha256 = createHash('sha256').update(text).digest('hex');
      }
    }, folder);
  }

  /** Lets the adjustment follow the closing as it is now. */
  async chain(): Promise<void> {
    const sha256 = createHash('sha256')
      .update(await readFile(this.path('manifest.json')))
      .digest('hex');
    await this.editManifest(({ statement }) => {
      statement['previousSha256'] = sha256;
      statement.earlier = [{ number: Number(statement['number']) - 1, sha256 }];
    }, 'adjustment-1');
  }
}

const rowsOf = (text: string) => text.split('\r\n').slice(0, -1);
const textOf = (rows: readonly string[]) => rows.map((row) => `${row}\r\n`).join('');
/** Changes the first row that has the text. */
const inRow =
  (part: string, change: (row: string) => string) =>
  (text: string): string => {
    const rows = rowsOf(text);
    const index = rows.findIndex((row) => row.includes(part));
    expect(index).toBeGreaterThan(0);
    rows[index] = change(rows[index] as string);
    return textOf(rows);
  };
const without = (part: string) => (text: string) => textOf(rowsOf(text).filter((row) => !row.includes(part)));
const twice = (part: string) => inRow(part, (row) => `${row}\r\n${row}`);
const swapped = (text: string) => {
  const [head = '', first = '', second = '', ...rest] = rowsOf(text);
  return textOf([head, second, first, ...rest]);
};
const ADJUSTMENT = 'adjustment-1';

type Change = (copy: Copy) => Promise<void>;

/** What is done to the packs of March, and the file and the problem that are named for it. */
const TAMPERED: readonly (readonly [string, Change, string, RegExp])[] = [
  [
    'a byte of the lines',
    (c) => c.edit('lines.csv', (t) => t.replace('Acme', 'Acne')),
    'lines.csv',
    /^was changed: its SHA-256 is another$/,
  ],
  [
    'a byte at the end of a file',
    (c) => c.edit('days.csv', (t) => `${t} `),
    'days.csv',
    /^was changed: it has \d+ bytes instead of \d+$/,
  ],
  [
    'a space in the manifest',
    (c) => c.edit('manifest.json', (t) => t.replace('{', '{ ')),
    'manifest.json',
    /^is not written as close writes it/,
  ],
  [
    'a manifest that is cut off',
    (c) => c.edit('manifest.json', (t) => t.slice(0, 100)),
    'manifest.json',
    /^is no JSON document$/,
  ],
  [
    'another format',
    (c) => c.editManifest((m) => Object.assign(m, { format: 2 })),
    'manifest.json',
    /^format: /,
  ],
  [
    'a month that is none',
    (c) =>
      c.editManifest((m) => {
        m.statement['month'] = '2026-13';
      }),
    'manifest.json',
    /^statement\.month: /,
  ],
  ['a file removed', (c) => rm(c.path('waivers.csv')), 'waivers.csv', /^is missing$/],
  [
    'a folder in place of a file',
    async (c) => {
      await rm(c.path('days.csv'));
      await mkdir(c.path('days.csv'));
    },
    'days.csv',
    /^is (a folder|missing)$/,
  ],
  [
    'a file removed from the manifest too',
    async (c) => {
      await rm(c.path('waivers.csv'));
      await c.editManifest((m) => {
        m.files = m.files.filter(({ name }) => name !== 'waivers.csv');
      });
    },
    'manifest.json',
    /^names waivers\.csv 0 times$/,
  ],
  [
    'a file named twice',
    (c) =>
      c.editManifest((m) => {
        m.files.push(m.files[0] as ManifestFile);
      }),
    'manifest.json',
    /^names lines\.csv 2 times$/,
  ],
  ['a file more', (c) => writeFile(c.path('more.csv'), 'a'), 'more.csv', /^is in no manifest$/],
  [
    'a signature that was not made',
    (c) => writeFile(c.path('manifest.json.sig'), 'a'),
    'manifest.json.sig',
    /^is in no manifest$/,
  ],
  [
    'the manifest of the adjustment removed',
    (c) => rm(c.path(ADJUSTMENT, 'manifest.json')),
    join(ADJUSTMENT, 'lines.csv'),
    /^is in no manifest$/,
  ],
  [
    'the closing removed',
    async (c) => {
      await rename(c.path(ADJUSTMENT), `${c.out}-kept`);
      await rm(c.out, { recursive: true });
      await rename(`${c.out}-kept`, c.out);
    },
    'manifest.json',
    /^follows statement 3 of 2026-03, which is missing$/,
  ],
  [
    'the adjustment doubled',
    (c) => cp(c.path(ADJUSTMENT), c.path('adjustment-2'), { recursive: true }),
    join('adjustment-2', 'manifest.json'),
    /^has the number 4, as has adjustment-1\/manifest\.json$/,
  ],
  [
    'the closing written anew',
    (c) => c.forge('lines.csv', (t) => t.replaceAll('Acme', 'Acne')),
    join(ADJUSTMENT, 'manifest.json'),
    /^follows a manifest with the SHA-256 \w+; that of number 3, manifest\.json, is \w+$/,
  ],
  [
    'an adjustment called a closing',
    (c) =>
      c.editManifest((m) => {
        m.statement['kind'] = 'closing';
      }, ADJUSTMENT),
    join(ADJUSTMENT, 'manifest.json'),
    /^is a closing, and follows 1 statements of its month$/,
  ],
  [
    'an adjustment that knows of no closing',
    (c) =>
      c.editManifest((m) => {
        m.statement.earlier = [];
      }, ADJUSTMENT),
    'manifest.json',
    /^is a statement of 2026-03 that adjustment-1\/manifest\.json does not know$/,
  ],
  [
    'another column',
    (c) =>
      c.editManifest((m) => {
        m.files[0]?.columns.reverse();
      }),
    'manifest.json',
    /^names other columns of lines\.csv$/,
  ],
  [
    'a header of other columns',
    (c) => c.forge('lines.csv', (t) => t.replace('org_name', 'name')),
    'lines.csv',
    /^is no CSV file of a pack: line 1 names other columns/,
  ],
  [
    'a quote that never ends',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_total', (r) => r.replace('Acme', '"Acme')),
      ),
    'lines.csv',
    /^is no CSV file of a pack: /,
  ],
  [
    'a cell more',
    (c) =>
      c.forge(
        'sources.csv',
        inRow('timer', (r) => `${r},1`),
      ),
    'sources.csv',
    /^is no CSV file of a pack: /,
  ],
  [
    'a word for a number',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_created', (r) => r.replace(',14,14,', ',14,many,')),
      ),
    'lines.csv',
    /^line 2: total is many$/,
  ],
  [
    'a number that is not there',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_created', (r) => r.replace(',14,14,', ',14,,')),
      ),
    'lines.csv',
    /devices_created from 2026-03-01: total is not stored, its days come to 14$/,
  ],
  [
    'a standing that there is not',
    (c) =>
      c.forge(
        'coverage.csv',
        inRow('final', (r) => r.replace('final', 'fine')),
      ),
    'coverage.csv',
    /^line 2: standing is fine$/,
  ],
  ['rows reordered', (c) => c.forge('days.csv', swapped), 'days.csv', /^line 3 is out of order$/],
  [
    'a line doubled',
    (c) => c.forge('lines.csv', twice('devices_created')),
    'lines.csv',
    /^line 3 has the key of the line before it$/,
  ],
  [
    'a row more than the manifest has',
    (c) =>
      c.editManifest((m) => {
        (m.files[1] as ManifestFile).rows += 1;
      }),
    'sources.csv',
    /^has 2 rows, the manifest says 3$/,
  ],
  [
    'a total of a line',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_created', (r) => r.replace(',14,14,', ',15,15,')),
      ),
    'lines.csv',
    /devices_created from 2026-03-01: total is 15, its days come to 14$/,
  ],
  [
    'a quantity of a line',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_created', (r) => r.replace(',14,14,', ',4,14,')),
      ),
    'lines.csv',
    /devices_created from 2026-03-01: the quantity is 4, not 14$/,
  ],
  [
    'a level that is its maximum',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_total', (r) => r.replace(',17,17.00,', ',18,17.00,')),
      ),
    'lines.csv',
    /devices_total from 2026-03-01: total_max is 18, its days come to 17$/,
  ],
  [
    'an average',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_total', (r) => r.replace('17.00', '16.00')),
      ),
    'lines.csv',
    /total_avg is 16\.00, its days come to 17\.00$/,
  ],
  [
    'the unit of a line',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_total', (r) => r.replace(',devices,', ',bytes,')),
      ),
    'lines.csv',
    /there is no such metric in bytes, level$/,
  ],
  [
    'the customer of a line',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_total', (r) => r.replace('Acme,', 'Acme,C-9')),
      ),
    'lines.csv',
    /devices_total from 2026-03-01: referral_id is not that of the other lines$/,
  ],
  [
    'the end of a period',
    (c) => c.forge('lines.csv', (t) => t.replaceAll('2026-03-31', '2026-04-30')),
    'lines.csv',
    /the period 2026-03-01\.\.2026-04-30 is not one of 2026-03$/,
  ],
  [
    'a line removed',
    (c) =>
      c.forge('lines.csv', (t) => without(`${org.acme},Acme,,,,2026-03-01,2026-03-31,devices_deleted`)(t)),
    'lines.csv',
    /devices_deleted from 2026-03-01 is missing, coverage\.csv has cells of it$/,
  ],
  [
    'all lines of an organization removed',
    (c) => c.forge('lines.csv', (t) => without(org.beta)(t)),
    'days.csv',
    /has no line in lines\.csv$/,
  ],
  [
    'days counted as final',
    (c) =>
      c.forge('lines.csv', (t) =>
        inRow(`${org.gamma},`, (r) => r.replace(',31,3,2,2,0,0,0,0,1,', ',31,3,3,3,0,0,0,0,0,'))(t),
      ),
    'lines.csv',
    /days_final is 3, the rows behind it say 2$/,
  ],
  [
    'a day removed',
    (c) => c.forge('days.csv', (t) => without('2026-03-11,2,2')(t)),
    'days.csv',
    /2026-03-11 is missing, coverage\.csv has cells of it$/,
  ],
  [
    'a number of a day',
    (c) =>
      c.forge(
        'days.csv',
        inRow('2026-03-10', (r) => r.replace('final,4,', 'final,5,')),
      ),
    'lines.csv',
    /devices_created from 2026-03-01: total is 14, its days come to 15$/,
  ],
  [
    'a number where none is stored',
    (c) =>
      c.forge(
        'days.csv',
        inRow('missing', (r) => r.replace('missing,,,', 'missing,9,9,9')),
      ),
    'days.csv',
    /devices_created is 9, coverage\.csv says not stored$/,
  ],
  [
    'a day called final',
    (c) =>
      c.forge(
        'days.csv',
        inRow('missing', (r) => r.replace('missing', 'final')),
      ),
    'days.csv',
    /standing is final, by coverage\.csv missing$/,
  ],
  [
    'a cell removed',
    (c) => c.forge('coverage.csv', (t) => without('2026-03-12,payload_sources')(t)),
    'days.csv',
    /2026-03-12: streams_expected is 2, by coverage\.csv 1$/,
  ],
  [
    'a missing cell called final',
    (c) =>
      c.forge(
        'coverage.csv',
        inRow('missing', (r) => r.replace('missing', 'final')),
      ),
    'coverage.csv',
    /2026-03-12 device_counts: final, and is_stored is false$/,
  ],
  [
    'a source',
    (c) =>
      c.forge(
        'sources.csv',
        inRow('timer,a', (r) => r.replace('12,12', '13,13')),
      ),
    'sources.csv',
    /the sources from 2026-03-01 come to 27, lines\.csv has 26$/,
  ],
  [
    'a source removed',
    (c) => c.forge('sources.csv', (t) => without('timer,a')(t)),
    'sources.csv',
    /come to 14, lines\.csv has 26$/,
  ],
  [
    'payloads moved between sources',
    (c) =>
      c.forge('sources.csv', (t) =>
        t.replace('timer,a,12,12', 'timer,a,11,12').replace('timer,b,14,14', 'timer,b,15,14'),
      ),
    'sources.csv',
    /timer a from 2026-03-01: the quantity is 11, not 12$/,
  ],
  [
    'a revision removed',
    (c) => c.forge('revisions.csv', (t) => rowsOf(t)[0] + '\r\n'),
    'lines.csv',
    /revision_watermark is \d+, the rows behind it say 0$/,
  ],
  [
    'what a revision says',
    (c) =>
      c.forge(
        'revisions.csv',
        inRow('created', (r) => r.replace('""created"": 6', '""created"": 5')),
      ),
    'revisions.csv',
    /2026-03-11 device_counts: the newest revision has 17, 5, 1, days\.csv 1, 17, 6$/,
  ],
  [
    'a revision of after the moment',
    (c) =>
      c.forge(
        'revisions.csv',
        inRow('created', (r) => r.replace(/,\d{4}-\d\d-\d\dT/, ',2049-01-01T')),
      ),
    'revisions.csv',
    /is newer than the statement$/,
  ],
  [
    'a waiver removed',
    (c) => c.forge('waivers.csv', (t) => rowsOf(t)[0] + '\r\n'),
    'waivers.csv',
    /2026-03-11 device_counts: coverage\.csv says accepted, and no waiver holds$/,
  ],
  [
    'a waiver that was lifted',
    (c) =>
      c.forge(
        'waivers.csv',
        inRow('agreed', (r) => `${r}2026-04-01T00:00:00.000000Z`),
      ),
    'waivers.csv',
    /coverage\.csv says accepted, and no waiver holds$/,
  ],
  [
    'the blockers removed',
    (c) => c.forge('blockers.csv', (t) => rowsOf(t)[0] + '\r\n'),
    'blockers.csv',
    /^it has no blocker, and the manifest a reason$/,
  ],
  [
    'the reason removed',
    (c) =>
      c.editManifest((m) => {
        m.statement['reason'] = null;
      }),
    'blockers.csv',
    /^it has blockers, and the manifest no reason$/,
  ],
  [
    'the blocker of another organization',
    (c) => c.forge('blockers.csv', (t) => t.replaceAll(org.gamma, org.acme)),
    'blockers.csv',
    /not every cell is final or accepted, and no blocker was accepted$/,
  ],
  [
    'a total of the manifest',
    (c) =>
      c.editManifest((m) => {
        (m.totals[0] as { quantity: string }).quantity = '1';
      }),
    'manifest.json',
    /^totals: devices_created of lines\.csv is 30 of 3 organizations; the manifest has 1 of 3 for devices_created$/,
  ],
  [
    'a total removed',
    (c) =>
      c.editManifest((m) => {
        m.totals.pop();
      }),
    'manifest.json',
    /^totals: payload_source_count of lines\.csv is 26 of 1 organizations; the manifest has not stored of 0 for nothing$/,
  ],
  [
    'a total more',
    (c) =>
      c.editManifest((m) => {
        m.totals.push({ ...m.totals[0], metric: 'fee' } as ManifestText['totals'][0]);
      }),
    'manifest.json',
    /^totals: fee has no line in lines\.csv$/,
  ],
  [
    'the number of organizations',
    (c) =>
      c.editManifest((m) => {
        m.statement['orgs'] = 4;
      }),
    'manifest.json',
    /^orgs is 4, lines\.csv has 3$/,
  ],
  [
    'an adjustment times a hundred',
    (c) =>
      c.forge(
        'lines.csv',
        inRow('devices_created', (r) => r.replace(',4,12,', ',400,12,')),
        ADJUSTMENT,
      ),
    join(ADJUSTMENT, 'lines.csv'),
    /devices_created from 2026-03-01: the quantity is 400, not 4$/,
  ],
  [
    'an adjustment of a source',
    (c) =>
      c.forge(
        'sources.csv',
        inRow('timer,b', (r) => r.replace(',1,15', ',2,15')),
        ADJUSTMENT,
      ),
    join(ADJUSTMENT, 'sources.csv'),
    /come to 2, lines\.csv has 1$/,
  ],
];

describe('a pack that was tampered with', () => {
  test.for(TAMPERED)('is told its place: %s', async ([, change, file, problem]) => {
    const copy = await Copy.of(march);
    await change(copy);
    const ended = await verifyIn(copy.out);
    expect([ended.code, ended.stderr]).toEqual([3, '']);
    const { problems } = jsonOf<Verified>(ended);
    expect(problems).toContainEqual({ file, problem: expect.stringMatching(problem) as string });
  });

  test('in a way that agrees with itself does not agree with the database', async () => {
    const copy = await Copy.of(march);
    await copy.editManifest(({ statement }) => {
      statement['closedBy'] = 'cfo';
    });
    await copy.chain();
    expect(jsonOf<Verified>(await verifyIn(copy.out)).problems).toEqual([]);
    const ended = await runProgram(['verify', copy.out, '--json'], { DATABASE_URL: books.ledger.url });
    expect(ended.code).toBe(3);
    expect(jsonOf<Verified>(ended).problems.map(({ file }) => file)).toEqual([
      'manifest.json',
      'adjustment-1/manifest.json',
      'adjustment-1/manifest.json',
    ]);
  });

  test('by leaving out its newest statement does not agree with the database', async () => {
    const copy = await Copy.of(march);
    await rm(copy.path(ADJUSTMENT), { recursive: true });
    expect(jsonOf<Verified>(await verifyIn(copy.out)).problems).toEqual([]);
    const ended = await runProgram(['verify', copy.out, '--json'], { DATABASE_URL: books.ledger.url });
    expect([ended.code, jsonOf<Verified>(ended).problems]).toEqual([
      3,
      [
        {
          file: 'manifest.json',
          problem: expect.stringMatching(
            /^the adjustment of 2026-03 with the number 4 is missing; the database has it, closed /,
          ) as string,
        },
      ],
    ]);
  });
});

describe('a signature', () => {
  const keyFile = async (name: string, pem: string): Promise<string> => {
    const path = join(books.folder, name);
    await writeFile(path, pem);
    return path;
  };

  test('fits its key, and is said not to be checked without one', async () => {
    const withKey = await verifyIn(signed, '--key', await keyFile('right.pub', PUBLIC_PEM));
    expect([withKey.code, jsonOf<Verified>(withKey)]).toEqual([
      0,
      expect.objectContaining({ ok: true, notes: [] }),
    ]);
    const without = jsonOf<Verified>(await verifyIn(signed));
    expect([without.ok, without.notes]).toEqual([
      true,
      [expect.stringMatching(/^Signed with the key [0-9a-f]{64}, which was not checked: give --key FILE\.$/)],
    ]);
  });

  test('of another key, of another manifest, and one that is missing are told their place', async () => {
    const right = await keyFile('right.pub', PUBLIC_PEM);
    const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }) as string;
    const wrong = await verifyIn(signed, '--key', await keyFile('wrong.pub', other));
    expect([wrong.code, jsonOf<Verified>(wrong).problems[0]]).toEqual([
      3,
      {
        file: 'manifest.json.sig',
        problem: expect.stringMatching(/^is of the key \w+, the one given is \w+$/) as string,
      },
    ]);
    const unsigned = await verifyIn(march, '--key', right);
    expect(jsonOf<Verified>(unsigned).problems[0]).toEqual({
      file: 'manifest.json',
      problem: 'is not signed, and --key was given',
    });
    const copy = await Copy.of(signed);
    await copy.editManifest(({ statement }) => {
      statement['closedBy'] = 'cfo';
    });
    await rm(copy.path(ADJUSTMENT, 'manifest.json.sig'));
    expect(jsonOf<Verified>(await verifyIn(copy.out, '--key', right)).problems).toEqual(
      expect.arrayContaining([
        { file: 'manifest.json.sig', problem: 'does not fit the manifest: one of the two was changed' },
        {
          file: 'adjustment-1/manifest.json.sig',
          problem: 'is missing, and the manifest says that it is signed',
        },
      ]),
    );
  });

  test('a chain that begins in the middle is said', async () => {
    expect(jsonOf<Verified>(await verifyIn(march)).notes).toEqual([
      'Not signed: whoever can write the files can write all of them anew.',
      expect.stringMatching(
        /^Statements 1 to 2 of instance \w+ are not here: the chain before number 3 was not checked\.$/,
      ),
    ]);
  });

  test.each([
    ['no key', 'x', 'has no key in PEM that is not encrypted'],
    [
      'a key of RSA',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
        type: 'spki',
        format: 'pem',
      }) as string,
      'has a key of type rsa, not Ed25519',
    ],
  ])('is not checked with a file that has %s', async (name, pem, problem) => {
    const ended = await runProgram(['verify', signed, '--key', await keyFile(`${name}.pub`, pem)], {});
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(problem)]);
  });
});
