import { beforeAll, describe, expect, it } from 'vitest';
import { orgIdsOf, useExport } from '../e2e/export.ts';
import { deleteNumbers } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';

const day = daysAgo(1);
/** A day of yesterday has checkpoints to come. */
const READ_AGAIN = /^nothing to do; it is read again (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC \(in .+\)$/;
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
  it('says which answer and run a number comes from', async () => {
    const [stored] = await exported.place.query(
      `select created, deleted, total from losant_usage.device_counts where org_id = '${orgId}'`,
    );
    const ended = await explain('--stream', 'device_counts', '--json');
    expect(ended.code).toBe(0);
    const numbers = Object.fromEntries(
      Object.entries(stored ?? {}).map(([name, value]) => [name, Number(value)]),
    );
    expect(jsonOf(ended)).toMatchObject({
      orgId,
      day,
      removedAt: null,
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
          values: [{ key: {}, values: numbers, revision: 1 }],
          revisions: [],
          quarantine: [],
          nextStep: expect.stringMatching(READ_AGAIN) as string,
        },
      ],
    });
  });

  it('speaks of every stream unless one is named, and reads well', async () => {
    const { cells } = jsonOf<Story>(await explain('--json'));
    expect(cells.map(({ stream }) => stream)).toEqual([
      'device_counts',
      'notebook_minutes',
      'payload_totals',
      'payload_sources',
      'payload_hours',
    ]);
    const shown = await explain('--stream', 'notebook_minutes');
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain('notebook_minutes: stored, revision 1\n');
    expect(shown.stdout).toContain(`  run: ${runId} (manual, `);
    expect(shown.stdout).toContain('\n  minutes  completed  canceled  errored  timeout  revision\n');
    expect(shown.stdout).toMatch(/\n {2}next: nothing to do; it is read again .+\n/);
  });

  it('shows every change, old and new, and who made it', async () => {
    await exported.place.query(
      `update losant_usage.usage_days set notebook_minutes = 5 where org_id = '${orgId}' and notebook_minutes <> 5`,
    );
    await exported.place.query(
      `update losant_usage.usage_days set notebook_minutes = 6 where org_id = '${orgId}'`,
    );
    const { cells } = jsonOf<Story>(await explain('--stream', 'notebook_minutes', '--json'));
    const revisions = cells[0]?.['revisions'] as Record<string, unknown>[];
    expect(revisions.at(-1)).toMatchObject({
      old: { minutes: 5 },
      new: { minutes: 6 },
      runId: null,
      changedBy: 'postgres',
    });
    expect((await explain('--stream', 'notebook_minutes')).stdout).toMatch(
      /revision \d, \d{4}-\d\d-\d\d \d\d:\d\d UTC, by hand, postgres: minutes 5 -> 6\n/,
    );
  });

  it('names the error and the next step where a number is missing', async () => {
    await exported.place.query(deleteNumbers('device_counts', orgId));
    const ended = await explain('--stream', 'device_counts');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain('device_counts: missing, a gap\n');
    expect(ended.stdout).toContain('  reason: changed_by_hand: its numbers were removed by hand\n');
    expect(ended.stdout).toContain(
      `  next: read by the next run; at once: losant-usage backfill --from ${day} --to ${day} --org ${orgId} --stream device_counts; if it will not come: losant-usage waive `,
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
