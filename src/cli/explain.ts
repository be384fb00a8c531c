import { EXIT, SettingsError } from '../errors.ts';
import { type CellStory, type DayStory, readDayStory } from '../queries/explain.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays, showInstant, showNumber, showWhen } from '../terminal/words.ts';
import { isGap, STANDINGS } from '../usage/standing.ts';
import { defineCommand } from './command.ts';
import { withDatabase } from './open-database.ts';
import { day, id, required, several, stream } from './options.ts';

export const explain = defineCommand({
  needs: ['database'],
  options: {
    org: required('ID', 'the organization', id('organization')),
    day: required('YYYY-MM-DD', 'the day', day),
    stream: several('NAME', 'only these streams', stream),
  },
  async run(context, { org: orgId, day: asked, stream: streams }) {
    const { output, hostNow } = context;
    const nowMs = hostNow();
    const story = await withDatabase(context, async ({ db }) => {
      return await readDayStory(db, { orgId, day: asked, streams }, { nowMs });
    });
    if (!story) {
      throw new SettingsError(`--org ${orgId}: this database has never seen that organization`, {
        hint: 'check the id; losant_usage.organizations lists those it knows',
      });
    }
    output.printJson(story);
    output.print(...renderStory(story, nowMs));
    return EXIT.ok;
  },
});

function renderStory({ org, day: asked, cells }: DayStory, nowMs: number): Line[] {
  const removed = org.removedOn === null ? '' : `, found deleted ${org.removedOn}`;
  return [
    line`${styled('bold', org.orgName)} (${org.orgId}, instance ${org.instanceId}${removed}), ${asked}`,
    ...cells.flatMap((cell) => ['', renderStanding(cell), ...renderCell(cell, nowMs)]),
  ];
}

/** Says what is not right first. */
function renderStanding({ stream: name, standing, ledger }: CellStory): Line {
  if (standing === null) return line`${styled('bold', name)}: not wanted`;
  const { label, sentence } = STANDINGS[standing];
  const why = [ledger?.reason, ledger?.message].filter((part) => part != null).join(', ');
  const shown = `${label}: ${why === '' ? sentence : why}`;
  return line`${styled('bold', name)}: ${isGap(standing) ? styled('red', shown) : shown}`;
}

function renderCell(cell: CellStory, nowMs: number): Line[] {
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

function renderLedger(ledger: NonNullable<CellStory['ledger']>, nowMs: number): Line[] {
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
