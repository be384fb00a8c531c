import { SettingsError } from '../errors.ts';
import { type CellStory, type DayStory, readDayStory } from '../queries/explain.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showDays, showInstant, showNumber, showWhen } from '../terminal/words.ts';
import { STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { day, org, required, streams } from './options.ts';

export const explain = defineCommand({
  needs: ['database'],
  options: {
    org,
    day: required('YYYY-MM-DD', 'the day', day),
    stream: streams,
  },
  async run(context, { org: orgId, day: asked, stream }) {
    const nowMs = context.hostNow();
    await using handle = await openSchema(context);
    const story = await readDayStory(handle.db, { orgId, day: asked, streams: stream }, { nowMs });
    if (!story) {
      throw new SettingsError(`--org ${orgId}: this database has never seen that organization`, {
        hint: 'check the id; losant_usage.organizations lists those it knows',
      });
    }
    return { document: story, lines: renderStory(story, nowMs) };
  },
});

function renderStory({ org, day: asked, cells }: DayStory, nowMs: number): string[] {
  const removed = org.removedOn === null ? '' : `, found deleted ${org.removedOn}`;
  return [
    `${org.orgName} (${org.orgId}, instance ${org.instanceId}${removed}), ${asked}`,
    ...cells.flatMap((cell) => ['', renderStanding(cell), ...renderCell(cell, nowMs)]),
  ];
}

/** Says what is not right first. */
function renderStanding({ stream: name, standing, ledger }: CellStory): string {
  if (standing === null) return `${name}: not wanted`;
  const { label, sentence } = STANDINGS[standing];
  const why = [ledger?.reason, ledger?.message].filter((part) => part != null).join(', ');
  return `${name}: ${label}: ${why === '' ? sentence : why}`;
}

function renderCell(cell: CellStory, nowMs: number): string[] {
  const { numbers, ledger, changes, waivers, quarantine, advice } = cell;
  const rows = numbers.map(({ metric, quantity }) => [metric, showNumber(quantity)]);
  return [
    ...renderTable({ rows, right: [1] }),
    ...(ledger === null ? [] : renderLedger(ledger, nowMs)),
    ...changes.map((change) => {
      const part = [change.type, change.source, change.hour].filter((each) => each !== null).join(', ');
      const what = `${change.metric}${part === '' ? '' : ` (${part})`}`;
      const when = `revision ${change.revision}, ${showInstant(change.changedAt)}`;
      const final = change.wasFinal ? ', after it was final' : '';
      return `  ${when}: ${what}: ${change.old ?? 'nothing'} became ${change.new ?? 'nothing'}${final}`;
    }),
    ...waivers.map(({ reason, waivedBy, waivedAt, liftedAt }) => {
      const lifted = liftedAt === null ? '' : `, lifted ${showInstant(liftedAt)}`;
      return `  waived by ${waivedBy}, ${showInstant(waivedAt)}${lifted}: ${reason}`;
    }),
    ...quarantine.map((answer) => {
      return `  quarantine ${showDays(answer)}: ${answer.code}: ${answer.problem} (${showInstant(answer.seenAt)})`;
    }),
    `  next: ${advice.text}`,
    ...advice.commands.map(({ when, command }) => `  ${when}:  ${command}`),
  ];
}

function renderLedger(ledger: NonNullable<CellStory['ledger']>, nowMs: number): string[] {
  const { verifiedAt, firstLoadedAt, finalizedAt, responseSha256, runId } = ledger;
  const unnamed = ledger.isStored && !ledger.isReported;
  const facts: readonly (readonly [string, string | null])[] = [
    ['revision', ledger.revision > 0 ? `${ledger.revision}` : null],
    ['not named by Losant', unnamed ? `a zero, left out ${count(ledger.silences, 'time')}` : null],
    ['read', verifiedAt && showWhen(verifiedAt, nowMs)],
    ['failed', ledger.attempts > 0 ? `${count(ledger.attempts, 'read')} in a row` : null],
    ['first loaded', firstLoadedAt && showInstant(firstLoadedAt)],
    ['final since', finalizedAt && showInstant(finalizedAt)],
    ['answer', responseSha256 && `sha256 ${responseSha256}, run ${runId ?? 'unknown'}`],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [`  ${name}: ${value}`]));
}
