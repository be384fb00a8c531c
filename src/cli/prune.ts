import type { Kysely } from 'kysely';
import type { BilledInstance } from '../billing/month.ts';
import { type DatabaseHandle, SCHEMA_NAME } from '../database/handle.ts';
import type { Schema } from '../database/schema.ts';
import { EXIT } from '../errors.ts';
import {
  type PruneOutcome,
  type PruneRequest,
  pruneInstance,
  readStorage,
  reclaimStorage,
} from '../ledger/prune.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showNumber } from '../terminal/words.ts';
import { daysOfMonth } from '../usage/period.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { chooseBilledInstances } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { dayOption, idsOption, required, requirePastDay, switchOption } from './options.ts';

export const prune = defineCommand({
  needs: ['database'],
  whenInterrupted: 'each month was removed as a whole or not at all; the same command goes on',
  options: {
    before: required(dayOption('remove the months that end before this day')),
    instance: idsOption('instance', 'only these instances'),
    dryRun: switchOption('show what would be removed, and what stays and why; remove nothing'),
  },
  examples: ({ lastMonth: { from } }) => {
    const before = `${Number(from.slice(0, 4)) - 2}-01-01`;
    return {
      [`prune --before ${before} --dry-run`]: 'what would go, and what has to stay',
      [`prune --before ${before}`]: 'all months before that day, for good',
    };
  },
  async run(context, { before, instance, dryRun: isDryRun }) {
    const { output } = context;
    requirePastDay('--before', before, context.hostNow());
    const work = async (handle: DatabaseHandle) => {
      const instances = await chooseBilledInstances(context, handle, instance);
      const bytesBefore = await readStorage(handle.db);
      const request = { before, isDryRun, signal: context.signal };
      // A month of many organizations takes longer to remove than other statements are given.
      const results = await handle.runLong(async (root) => {
        return await pruneInstances(context, root.withSchema(SCHEMA_NAME), instances, request);
      });
      const isAnyRemoved = results.some(({ outcome }) => outcome.months.length > 0);
      if (isAnyRemoved && !isDryRun) await reclaimStorage(handle);
      const bytes = { before: bytesBefore, after: await readStorage(handle.db) };
      output.printJson(toDocument(request, results, bytes));
      output.print(...renderPruned(request, results, bytes));
      return results.some(({ outcome }) => outcome.kept !== null) ? EXIT.incomplete : EXIT.ok;
    };
    return await withDatabase(context, work, { writes: !isDryRun });
  },
});

interface Result {
  readonly instance: BilledInstance;
  readonly outcome: PruneOutcome;
}

type Request = Omit<PruneRequest, 'instanceId'>;

/** The room that all tables take, in bytes. */
interface Storage {
  readonly before: number;
  readonly after: number;
}

async function pruneInstances(
  { logger }: CommandContext,
  db: Kysely<Schema>,
  instances: readonly BilledInstance[],
  request: Request,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const instance of instances) {
    const { instanceId } = instance;
    const outcome = await pruneInstance(db, { ...request, instanceId });
    for (const { month, ...rows } of request.isDryRun ? [] : outcome.months) {
      logger.info({ instance_id: instanceId, month, ...rows }, 'month removed');
    }
    results.push({ instance, outcome });
  }
  return results;
}

function toDocument({ before, isDryRun }: Request, results: readonly Result[], bytes: Storage): object {
  const instances = results.map(({ instance: { instanceId, name }, outcome: { months, kept } }) => ({
    ...{ instanceId, name, months },
    kept: kept === null ? null : { ...kept, whatToDo: describeKept(kept).whatToDo },
  }));
  return { before, dryRun: isDryRun, instances, bytes };
}

function renderPruned({ before, isDryRun }: Request, results: readonly Result[], bytes: Storage): Line[] {
  const lines = results.flatMap((result) => [...renderInstance(result, before, isDryRun), '']);
  const mb = (size: number) => `${showNumber(Math.round(size / 1_000_000))} MB`;
  const end = isDryRun
    ? `All tables take ${mb(bytes.before)}. Nothing was removed.`
    : `All tables take ${mb(bytes.after)}, ${mb(bytes.before)} before; the room of removed rows is used for new days.`;
  return [...lines, end];
}

function renderInstance(
  { instance: { instanceId, name }, outcome: { months, kept } }: Result,
  before: string,
  isDryRun: boolean,
): Line[] {
  const of = name === null ? instanceId : `${name} (${instanceId})`;
  const what = months.length === 0 ? 'No month' : count(months.length, 'month');
  const done = isDryRun ? 'would be removed' : 'removed';
  const head = ['month', 'days of organizations', 'rows of the ledger', 'payload sources'];
  const rows = months.map(({ month, days, cells, sources }) => [
    month,
    ...[days, cells, sources].map((each) => showNumber(each)),
  ]);
  const lines: Line[] = [line`Instance ${of}: ${styled('bold', what)} before ${before} ${done}.`];
  if (months.length > 0) lines.push(...renderTable({ head, rows, right: [1, 2, 3] }));
  if (kept !== null) {
    const stays = styled('yellow', `${kept.month} stays, with all that follows it`);
    const { why, whatToDo } = describeKept(kept);
    lines.push(line`${stays}: ${why}.`, `  ${whatToDo}`);
  }
  return lines;
}

type Kept = NonNullable<PruneOutcome['kept']>;

/** `describeKept` returns why a month stays, and what to do. */
function describeKept({ cause, count: number, month }: Kept): { why: string; whatToDo: string } {
  const { from, to } = daysOfMonth(month);
  const numbers = count(number, 'number');
  const are = `${numbers} ${number === 1 ? 'is' : 'are'}`;
  const waive = 'losant-usage gaps --all lists them; losant-usage waive accepts each with a reason';
  const close = `losant-usage close --period ${month}`;
  switch (cause) {
    case 'gap':
      return { why: `${are} missing or in doubt`, whatToDo: waive };
    case 'due': {
      const whatToDo = 'wait for the next runs: losant-usage run reads what is due';
      return { why: `${are} not final, or to be read again`, whatToDo };
    }
    case 'not_closed': {
      const why = `days of ${count(number, 'organization')} are in no statement, and other months are closed`;
      const which = `with periods of Losant: the months in which the periods from ${from} to ${to} end`;
      return { why, whatToDo: `${close} (${which})` };
    }
    case 'unavailable':
      return { why: `${numbers} can no longer be read, and nobody has accepted that`, whatToDo: waive };
    case 'not_settled': {
      const lines = `${count(number, 'line')} of its statement differ${number === 1 ? 's' : ''}`;
      return { why: `${lines} from the numbers of now`, whatToDo: `${close} --adjust` };
    }
  }
}
