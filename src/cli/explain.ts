import { readNowMs } from '../database/session.ts';
import { SettingsError } from '../errors.ts';
import { type CellExplanation, type DayExplanation, explainDay } from '../queries/explain.ts';
import { formatTable } from '../terminal/text.ts';
import { joinParts, showCode, showDays, showInstant, showNumber, showWhen } from '../terminal/words.ts';
import { STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { day, orgOption, requiredOption, streamsOption } from './options.ts';

export const explain = defineCommand({
  needs: ['database'],
  options: { org: orgOption, day: requiredOption('YYYY-MM-DD', 'the day', day), stream: streamsOption },
  async run(context, { org: orgId, day: requestedDay, stream }) {
    await using handle = await openSchema(context);
    const nowMs = await readNowMs(handle);
    const explanation = await explainDay(handle.db, { orgId, day: requestedDay, streams: stream, nowMs });
    if (!explanation) {
      throw new SettingsError(`--org ${orgId}: not in this database`, {
        hint: 'check the ID; losant_usage.organizations lists the known ones',
      });
    }
    return { document: explanation, lines: renderExplanation(explanation, nowMs) };
  },
});

function renderExplanation({ org, day: usageDay, cells }: DayExplanation, nowMs: number): string[] {
  const deletion = org.deletedOn === null ? '' : `, deleted ${org.deletedOn}`;
  return [
    `${org.orgName} (${org.orgId}${deletion}), ${usageDay}`,
    ...cells.flatMap((cell) => ['', renderStanding(cell), ...renderCell(cell, nowMs)]),
  ];
}

function renderStanding({ stream: name, standing, ledger }: CellExplanation): string {
  if (standing === null) return `${name}: not expected`;
  const { sentence } = STANDINGS[standing];
  const reason = ledger?.reason === 'waived' ? null : ledger?.reason;
  const cause = joinParts(', ', reason, ledger?.detail);
  return `${name}: ${showCode(standing)}: ${cause === '' ? sentence : cause}`;
}

const showValue = (quantity: number | null) => (quantity === null ? 'none' : showNumber(quantity));

function renderCell(cell: CellExplanation, nowMs: number): string[] {
  const { numbers, ledger, changes, waivers, quarantine, advice } = cell;
  const rows = numbers.map(({ metric, quantity }) => [metric, showNumber(quantity)]);
  return [
    ...formatTable({ rows, right: [1] }),
    ...(ledger === null ? [] : renderLedger(ledger, nowMs)),
    ...changes.map(renderChange),
    ...waivers.map(({ reason, waivedBy, waivedAt, liftedAt }) => {
      const lifting = liftedAt === null ? '' : `, lifted ${showInstant(liftedAt)}`;
      return `  waived by ${waivedBy}, ${showInstant(waivedAt)}${lifting}: ${reason}`;
    }),
    ...quarantine.map((response) => {
      const { reason, detail, seenAt } = response;
      return `  quarantined response, ${showDays(response)}: ${reason}: ${detail} (${showInstant(seenAt)})`;
    }),
    `  ${advice.text}`,
    ...advice.commands.map(({ when, command }) => `  ${when}:  ${command}`),
  ];
}

function renderChange(change: CellExplanation['changes'][number]): string {
  const part = [change.type, change.source, change.hour].filter((each) => each !== null).join(', ');
  const metric = `${change.metric}${part === '' ? '' : ` (${part})`}`;
  const revision = `revision ${change.revision}, ${showInstant(change.changedAt)}`;
  const wasFinal = change.wasFinal ? ' (after it was final)' : '';
  const person = change.reason === null ? '' : `, by ${change.changedBy}: ${change.reason}`;
  return `  ${revision}: ${metric}: ${showValue(change.old)} → ${showValue(change.new)}${wasFinal}${person}`;
}

function renderLedger(ledger: NonNullable<CellExplanation['ledger']>, nowMs: number): string[] {
  const { lastReadAt, firstLoadedAt, finalizedAt, responseSha256, runId } = ledger;
  const isAssumed = ledger.isStored && !ledger.isReported;
  const facts: readonly (readonly [string, string | null])[] = [
    ['revision', ledger.revision > 0 ? `${ledger.revision}` : null],
    ['not reported by Losant', isAssumed ? 'some or all of the zeros' : null],
    ['last read', lastReadAt && showWhen(lastReadAt, nowMs)],
    ['failed reads', ledger.failedReads > 0 ? `${ledger.failedReads} in a row` : null],
    ['first loaded', firstLoadedAt && showInstant(firstLoadedAt)],
    ['final since', finalizedAt && showInstant(finalizedAt)],
    ['response', responseSha256 && `sha256 ${responseSha256}, run ${runId ?? 'unknown'}`],
  ];
  return facts.flatMap(([name, value]) => (value === null ? [] : [`  ${name}: ${value}`]));
}
