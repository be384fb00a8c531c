/** Checks a proof pack against itself: that every number follows from the days, and every day from its cells. */
import {
  type Billed,
  keyOfLine,
  keyOfSource,
  Organization,
  type Report,
  show,
} from './check-organization.ts';
import { type StatementTotal, Totals } from './pack.ts';
import {
  BEHIND,
  BrokenFileError,
  type PackFileName,
  type PackRow,
  RowsByOrganization,
  readPackFile,
} from './pack-files.ts';
import type { Pack, PackProblem } from './verify.ts';

/** The most problems reported for one pack; the rest would be more of the same. */
export const PROBLEMS_MAX = 100;

/**
 * `checkPacks` checks every sum and count of packs, and those of an adjustment against the statements of its month
 * before it. Where one of these is not among the packs, the differences of the adjustment are not checked.
 */
export async function checkPacks(packs: readonly Pack[], signal: AbortSignal): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  for (const pack of packs) {
    signal.throwIfAborted();
    const { instanceId, month, kind, earlier } = pack.manifest.statement;
    const before = packs.filter(
      ({ manifest: { statement: other } }) =>
        other.instanceId === instanceId &&
        other.month === month &&
        earlier.some(({ number }) => number === other.number),
    );
    const areThere = earlier.every(({ number }) =>
      before.some(({ manifest }) => manifest.statement.number === number),
    );
    problems.push(...(await checkPack(pack, kind === 'closing' ? [] : areThere ? before : null)));
  }
  return problems;
}

/**
 * `checkPack` checks a pack organization by organization. `before` has the preceding statements of its month; it is
 * null if they are not all there.
 */
async function checkPack(pack: Pack, before: readonly Pack[] | null): Promise<PackProblem[]> {
  const problems: PackProblem[] = [];
  const report: Report = (file, problem) => {
    if (problems.length < PROBLEMS_MAX) problems.push({ file: pack.fileOf(file), problem });
  };
  await using opened = new AsyncDisposableStack();
  const open: OpenFile = (of, name) => opened.use(new RowsByOrganization(readPackFile(of, name)));
  try {
    const blocked = await checkBlockers(pack, report);
    const earlier = before === null ? null : readEarlier(before, open);
    await checkOrganizations(pack, { open, earlier, blocked, report });
  } catch (error) {
    if (!(error instanceof BrokenFileError)) throw error;
    report(error.file, error.message);
  }
  return problems;
}

/** Opens a file of a pack, which is closed with the check. */
type OpenFile = (pack: Pack, name: PackFileName) => RowsByOrganization;

/**
 * `readEarlier` reads the lines and sources of the preceding statements beside those of an adjustment, so that memory
 * stays flat. The function returned tells what was billed of an organization, which must come after the one asked for
 * before; null if a file is broken, which is reported with its own pack.
 */
function readEarlier(packs: readonly Pack[], open: OpenFile): (orgId: string) => Promise<Billed | null> {
  const lines = packs.map((pack) => open(pack, 'lines.csv'));
  const sources = packs.map((pack) => open(pack, 'sources.csv'));
  const collect = async (files: RowsByOrganization[], orgId: string, keyOf: (row: PackRow) => string) => {
    const totals = new Map<string, string | null>();
    for (const rows of files) {
      await rows.passOver(orgId);
      for (const row of await rows.take(orgId)) totals.set(keyOf(row), row['total'] ?? null);
    }
    return totals;
  };
  let isBroken = false;
  return async (orgId) => {
    if (isBroken) return null;
    try {
      return {
        lines: await collect(lines, orgId, keyOfLine),
        sources: await collect(sources, orgId, keyOfSource),
      };
    } catch (error) {
      if (!(error instanceof BrokenFileError)) throw error;
      isBroken = true;
      return null;
    }
  };
}

async function readAll(pack: Pack, name: PackFileName): Promise<PackRow[]> {
  const rows: PackRow[] = [];
  for await (const page of readPackFile(pack, name)) rows.push(...page);
  return rows;
}

/** `checkBlockers` returns the organizations that were accepted as blocked; null stands for all of them. */
async function checkBlockers(pack: Pack, report: Report): Promise<Set<string | null>> {
  const blocked = new Set<string | null>();
  let rows = 0;
  for (const { position, org_id, first_day, last_day } of await readAll(pack, 'blockers.csv')) {
    rows += 1;
    if (position !== `${rows}`)
      report('blockers.csv', `line ${rows + 1}: position ${position} is not ${rows}`);
    if ((first_day ?? '') > (last_day ?? ''))
      report('blockers.csv', `line ${rows + 1}: its days are reversed`);
    blocked.add(org_id ?? null);
  }
  const { reason } = pack.manifest.statement;
  if (reason === null && rows > 0) report('blockers.csv', 'it has blockers, and the manifest no reason');
  if (reason !== null && rows === 0) report('blockers.csv', 'it has no blocker, and the manifest a reason');
  return blocked;
}

interface Checking {
  readonly open: OpenFile;
  /** The statements before this one; null if they are not all there. */
  readonly earlier: ReturnType<typeof readEarlier> | null;
  /** The organizations of accepted blockers; null stands for all of an instance. */
  readonly blocked: ReadonlySet<string | null>;
  readonly report: Report;
}

async function checkOrganizations(pack: Pack, { open, earlier, blocked, report }: Checking): Promise<void> {
  const { statement, totals: said } = pack.manifest;
  const lines = open(pack, 'lines.csv');
  const behind = new Map(BEHIND.map((name) => [name, open(pack, name)]));
  const passStrays = async (until: string | null) => {
    for (const [name, rows] of behind) {
      for (const orgId of await rows.passOver(until)) {
        report(name, `organization ${orgId} has no line in lines.csv`);
      }
    }
  };
  const totals = new Totals();
  let orgs = 0;
  for (let orgId = await lines.peek(); orgId !== null; orgId = await lines.peek()) {
    await passStrays(orgId);
    const taken = await lines.take(orgId);
    orgs += 1;
    totals.add(taken.map(({ metric, quantity }) => [metric as string, quantity ?? null]));
    const files = new Map<string, PackRow[]>();
    for (const [name, rows] of behind) files.set(name, await rows.take(orgId));
    const billed = earlier === null ? null : await earlier(orgId);
    new Organization({ statement, orgId, lines: taken, files, billed, blocked, report }).check();
  }
  await passStrays(null);
  compareTotals(said, totals.list(), report);
  if (orgs !== statement.orgs) {
    report('manifest.json', `orgs is ${statement.orgs}, lines.csv has ${orgs}`);
  }
}

function compareTotals(
  said: readonly StatementTotal[],
  expected: readonly StatementTotal[],
  report: Report,
): void {
  for (const [index, total] of expected.entries()) {
    const found = said[index];
    if (JSON.stringify(found) === JSON.stringify(total)) continue;
    const { metric, quantity, orgs } = total;
    report(
      'manifest.json',
      `totals: ${metric} of lines.csv is ${show(quantity)} of ${orgs} organizations; the manifest has ${show(found?.quantity)} of ${found?.orgs ?? 0} for ${found?.metric ?? 'nothing'}`,
    );
    return;
  }
  if (said.length > expected.length)
    report('manifest.json', `totals: ${said[expected.length]?.metric} has no line in lines.csv`);
}
