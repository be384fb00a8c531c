import { SettingsError } from '../errors.ts';
import { type CellExplanation, type DayExplanation, explainDay } from '../queries/explain.ts';
import { formatTable } from '../terminal/text.ts';
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
    const story = await explainDay(handle.db, { orgId, day: asked, streams: stream }, { nowMs });
    if (!story) {
      throw new SettingsError(`--org ${orgId}: not in this database`, {
        hint: 'check the ID; losant_usage.organizations lists the known ones',
      });
    }
    return { document: story, lines: renderStory(story, nowMs) };
  },
});

function renderStory({ org, day: asked, cells }: DayExplanation, nowMs: number): string[] {
  const removed = org.deletedOn === null ? '' : `, deleted ${org.deletedOn}`;
  return [
    `${org.orgName} (${org.orgId}, instance ${org.instanceId}${removed}), ${asked}`,
    ...cells.flatMap((cell) => ['', renderStanding(cell), ...renderCell(cell, nowMs)]),
  ];
}

function renderStanding({ stream: name, standing, ledger }: CellExplanation): string {
  if (standing === null) return `${name}: not expected`;
  const { label, sentence } = STANDINGS[standing];
  const why = [ledger?.reason, ledger?.detail].filter((part) => part != null).join(', ');
  return `${name}: ${label}: ${why === '' ? sentence : why}`;
}

function renderCell(cell: CellExplanation, nowMs: number): string[] {
  const { numbers, ledger, changes, waivers, quarantine, advice } = cell;
  const rows = numbers.map(({ metric, quantity }) => [metric, showNumber(quantity)]);
  return [
    ...formatTable({ rows, right: [1] }),
    ...(ledger === null ? [] : renderLedger(ledger, nowMs)),
    ...changes.map((change) => {
      const part = [change.type, change.source, change.hour].filter((each) => each !== null).join(', ');
      const what = `${change.metric}${part === '' ? '' : ` (${part})`}`;
      const when = `revision ${change.revision}, ${showInstant(change.changedAt)}`;
      const final = change.wasFinal ? '(after it was final)' : '';
      return `  ${when}: ${what}: ${change.old ?? 'none'} → ${change.new ?? 'none'}${final}`;
    }),
    ...waivers.map(({ kind, reason, waivedBy, waivedByRun, waivedAt, liftedAt }) => {
      const lifted = liftedAt === null ? '' : `, lifted ${showInstant(liftedAt)}`;
      const who = kind === 'person' ? waivedBy : `run ${waivedByRun}`;
      return `  waived by ${who}, ${showInstant(waivedAt)}${lifted}: ${reason}`;
    }),
    ...quarantine.map((response) => {
      return `  quarantined response, ${showDays(response)}: ${response.reason}: ${response.detail} (${showInstant(response.seenAt)})`;
    }),
    `  next: ${advice.text}`,
    ...advice.commands.map(({ when, command }) => `  ${when}:  ${command}`),
  ];
}

function renderLedger(ledger: NonNullable<CellExplanation['ledger']>, nowMs: number): string[] {
  const { lastReadAt, firstLoadedAt, finalizedAt, responseSha256, runId } = ledger;
  const unreported = ledger.isStored && !ledger.isReported;
  const facts: readonly (readonly [string, string | null])[] = [
    ['revision', ledger.revision > 0 ? `${ledger.revision}` : null],
    [
      'not reported by Losant',
      unreported ? `stored as zero; omitted from ${count(ledger.omissions, 'response')}` : null,
    ],
    ['last read', lastReadAt && showWhen(lastReadAt, nowMs)],
    ['failed reads', ledger.failedReads > 0 ? `${ledger.failedReads} in a row` : null],
    ['first loaded', firstLoadedAt && showInstant(firstLoadedAt)],
    ['final since', finalizedAt && showInstant(finalizedAt)],
    ['response', responseSha256 && `sha256 ${responseSha256}, run ${runId ?? 'unknown'}`],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [`  ${name}: ${value}`]));
}
