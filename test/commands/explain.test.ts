import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { loseNumbers } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';

const day = daysAgo(1);
/** A day of yesterday has checkpoints to come. */
const READ_AGAIN = /^read again (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC \(in .+\)$/;
const exported = useExport({ orgs: 1 });
let orgId: string;
let runId: string;

beforeAll(async () => {
  const ids = await orgIdsOf(exported.platform);
  orgId = ids[0] ?? '';
  runId = jsonOf(await exported.run(['run', '--json'])).runId ?? '';
});

/** Without any setting but the database's. */
const explain = (...args: string[]) =>
  runProgram(['explain', '--org', orgId, '--day', day, ...args], { DATABASE_URL: exported.place.url });

interface Story {
  readonly cells: readonly Record<string, unknown>[];
}

describe('explain', () => {
  // Promise (Changes): The command explain shows where a number comes from, and what became of it.
  it('says which answer and run a number comes from', async () => {
    const [stored] = await exported.place.query(
      `select created, deleted, total from losant_usage.device_counts where org_id = '${orgId}'`,
    );
    const ended = await explain('--stream', 'device_counts', '--json');
    expect(ended.code).toBe(0);
    const numbers = Object.entries(stored ?? {}).map(([name, value]) => {
      return { metric: `devices_${name}`, part: null, quantity: Number(value) };
    });
    expect(jsonOf(ended)).toMatchObject({
      org: { orgId, removedOn: null },
      day,
      standing: 'stored',
      cells: [
        {
          stream: 'device_counts',
          standing: 'stored',
          ledger: {
            standing: 'stored',
            isStored: true,
            isReported: true,
            revision: 1,
            attempts: 0,
            reason: null,
            runId,
            runKind: 'manual',
            responseSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
          },
          numbers,
          changes: [],
          quarantine: [],
          advice: { text: expect.stringMatching(READ_AGAIN) as string, commands: [] },
        },
      ],
    });
  });

  it('speaks of every stream unless one is named, and reads well', async () => {
    const { cells } = jsonOf<Story>(await explain('--json'));
    expect(cells.map(({ stream }) => String(stream)).toSorted()).toEqual([
      'device_counts',
      'notebook_minutes',
      'payload_hours',
      'payload_sources',
      'payload_totals',
    ]);
    const shown = await explain('--stream', 'notebook_minutes');
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain('notebook_minutes: stored: stored, still to be read again\n');
    expect(shown.stdout).toMatch(/\n {2}notebook_minutes +\d+\n/);
    expect(shown.stdout).toContain(`, run ${runId}\n`);
    expect(shown.stdout).toMatch(/\n {2}next: read again .+\n/);
  });

  it('names the error first, and the next steps as commands, where a number is missing', async () => {
    await exported.place.query(loseNumbers('device_counts', orgId));
    const ended = await explain('--stream', 'device_counts');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain('device_counts: missing: server_error, HTTP 502\n');
    const cell = `--org ${orgId} --stream device_counts`;
    expect(ended.stdout).toContain('  next: read by the next run\n');
    expect(ended.stdout).toContain(
      `  at once:  losant-usage backfill --from ${day} --to ${day} ${cell} --force\n`,
    );
    expect(ended.stdout).toContain(
      `  to accept it as it stands:  losant-usage waive --day ${day} ${cell} --reason TEXT\n`,
    );
  });

  it('refuses an organization that this database has never seen', async () => {
    const ended = await runProgram(['explain', '--org', '0'.repeat(24), '--day', day, '--json'], {
      DATABASE_URL: exported.place.url,
    });
    expect(ended.code).toBe(2);
    expect(jsonOf<Refusal>(ended).error.message).toBe(
      '--org 000000000000000000000000: this database has never seen that organization',
    );
  });
});
