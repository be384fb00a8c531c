/** What the database itself requires of a statement, whoever calls its functions: its moment, its snapshot, its files. */
import { createHash } from 'node:crypto';
import { type Kysely, sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { CHECKS_NAME, CSV_NAMES } from '../../src/billing/manifest.ts';
import { createPack } from '../../src/billing/pack.ts';
import type { Schema } from '../../src/database/schema.ts';
import { asOwner } from '../support/databases.ts';
import { INSTANCE, SIGNAL, useBooks } from './books.ts';

const books = useBooks();
let orgId: string;
beforeAll(async () => {
  orgId = await books.addOrg({ from: '2026-03-10' });
  await books.addCells({ orgId, from: '2026-03-10', to: '2026-05-31' });
});

/** Moves the clock of the database, on which nothing else depends. */
const moveClock = async (seconds: number) => await books.setTime(new Date(books.nowMs + seconds * 1_000).toISOString());

/** Calls `work` as a closer would by hand, in one repeatable read transaction. */
const byHand = async <T>(work: (trx: Kysely<Schema>) => Promise<T>): Promise<T> =>
  await books.closer.db.transaction().setIsolationLevel('repeatable read').execute(work);

type Document = Parameters<typeof createPack>[1];

async function begin(trx: Kysely<Schema>, month: string): Promise<Document> {
  const statement = sql<Document>`losant_usage.begin_statement(${INSTANCE}, ${`${month}-01`}::date, false, null, null,
    now())`;
  return (await trx.selectNoFrom(statement.as('document')).executeTakeFirstOrThrow()).document;
}

const restate = async (day: string) =>
  await books.restate(orgId, day, { old: { devices_created: 4 }, numbers: { devices_created: 9 } });

describe('a statement that a closer begins by hand', () => {
  // Guarantee (Billing): A statement is not dated before a change that it contains.
  test('is not dated before a number that its snapshot has', async () => {
    await moveClock(60);
    await restate('2026-03-10');
    await moveClock(-60);
    await expect(byHand(async (trx) => await begin(trx, '2026-03'))).rejects.toThrow(
      'The statement would be as of 2026-11-22T12:00:00.000Z, but has a change of 2026-11-22T12:01:00.000Z',
    );
    const closing = books.close('2026-03');
    await expect(closing).rejects.toThrow('but has a change of 2026-11-22T12:01:00.000Z');
    await moveClock(60);
    expect(await books.close('2026-03')).toMatchObject({ kind: 'closed' });
  });

  test('is not dated before a number that was loaded first after its month, or a waiver', async () => {
    const month = '2026-02';
    const other = await books.addOrg({ from: '2026-02-10' });
    await moveClock(60);
    await books.addCells({ orgId: other, from: '2026-02-10', to: '2026-02-28', isLate: true });
    await moveClock(-60);
    await expect(byHand(async (trx) => await begin(trx, month))).rejects.toThrow('but has a change of');
    await moveClock(120);
    await books.waive(other, '2026-02-11');
    await moveClock(-30);
    await expect(byHand(async (trx) => await begin(trx, month))).rejects.toThrow('but has a change of');
    await moveClock(30);
    expect(await books.close(month)).toMatchObject({ kind: 'closed' });
  });

  test('belongs to a transaction that began at most two minutes ago', async () => {
    const beginMinutesAgo = async (minutes: number) => {
      const now = `create or replace function simulated.now() returns timestamptz language sql stable
        as 'select stopped_at - interval ''${minutes} minutes'' from simulated.clock'`;
      await asOwner(books.url, now);
      const rollback = new Error('enough was seen');
      await byHand(async (trx) => {
        await begin(trx, '2026-04');
        throw rollback;
      }).catch((error: unknown) => {
        if (error !== rollback) throw error;
      });
    };
    await beginMinutesAgo(2);
    await expect(beginMinutesAgo(3)).rejects.toThrow('transaction of the last two minutes');
    await beginMinutesAgo(0);
  });

  // Guarantee (Billing): A change that a statement does not contain is a difference, even if its snapshot was old.
  test('leaves what was loaded since its snapshot for an adjustment', async () => {
    await byHand(async (trx) => {
      await sql`select`.execute(trx);
      await moveClock(-30);
      await restate('2026-04-20');
      await moveClock(30);
      await createPack(trx, await begin(trx, '2026-04'), { signingKey: null, signal: SIGNAL });
    });
    expect(await books.close('2026-04', { isAdjustment: true })).toMatchObject({
      kind: 'closed',
      lines: [{ metric: 'devices_created', quantity: '5' }],
    });
  });
});

interface PackFile {
  readonly name: string;
  readonly content: string;
}

const PACK: readonly PackFile[] = [...CSV_NAMES, CHECKS_NAME].map((name) => ({ name, content: `of ${name}` }));

const describeFile = ({ name, content }: PackFile) => {
  return { name, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
};

interface Seal {
  readonly stored?: readonly PackFile[];
  readonly listed?: readonly object[];
  readonly signedBy?: string | null;
}

/** Seals a statement of May with these files; then nothing is kept of it. */
async function seal({ stored = PACK, listed = PACK.map(describeFile), signedBy = null }: Seal): Promise<void> {
  await byHand(async (trx) => {
    const statement = await begin(trx, '2026-05');
    const add = (name: string, content: string) =>
      sql`select losant_usage.add_pack_file(${statement.id}::uuid, ${name}, ${Buffer.from(content)})`.execute(trx);
    for (const { name, content } of stored) await add(name, content);
    await add('manifest.json', JSON.stringify({ statement, signedBy, files: listed }));
    throw new Error('sealed');
  });
}

describe('a statement is sealed', () => {
  const [totals, ...others] = PACK as [PackFile, ...PackFile[]];
  const signature = { name: 'manifest.json.sig', content: 'signed' };

  test('with every file of a pack, in parts too', async () => {
    await expect(seal({})).rejects.toThrow('sealed');
    const parts = ['of tot', 'als.csv'].map((content) => ({ ...totals, content }));
    await expect(seal({ stored: [...parts, ...others] })).rejects.toThrow('sealed');
    await expect(seal({ stored: [...PACK, signature], signedBy: 'a key' })).rejects.toThrow('sealed');
  });

  // Guarantee (Billing): A statement is sealed only with every file of its pack, each with the bytes that its manifest
  // names.
  test.each<[string, Seal]>([
    ['that was not added', { stored: others }],
    ['with other bytes', { stored: [{ ...totals, content: 'OF totals.csv' }, ...others] }],
    ['of another size', { listed: [{ ...describeFile(totals), bytes: 1 }, ...others.map(describeFile)] }],
    ['that its manifest does not list', { listed: others.map(describeFile) }],
    ['that neither has', { stored: others, listed: others.map(describeFile) }],
    ['in place of a missing one', { stored: others, listed: [...others, ...others.slice(0, 1)].map(describeFile) }],
    ['of a signature that its manifest names', { signedBy: 'a key' }],
    ['of a signature that its manifest does not name', { stored: [...PACK, signature] }],
  ])('not with a file %s', async (_, files) => {
    await expect(seal(files)).rejects.toThrow('the manifest does not match the files of the pack');
  });
});
