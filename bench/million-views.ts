/** Measures the views with a very large number of organizations. */
import pg from 'pg';
import { questionsAbout } from './questions.ts';
import { median, type Report, type Row } from './report.ts';

const RUNS = 3;

/** The time after which a question is given up and reported as taking longer. */
const LONGEST_MS = 600_000;

const ASKED = [
  ...['one organization, 30 days', 'one organization, its months', 'the newest day, every column'],
  ...['the newest day, one sum', 'its month, every column', 'its month, the ten largest'],
  ...['total by day, 90 days', 'coverage_gaps', 'freshness'],
];

/** Postgres' code for a statement that was cancelled, also by its timeout. */
const CANCELED = '57014';

/**
 * Times the questions in the server, with every column computed and no row sent: a client needs longer
 * to take a million rows.
 */
export async function timeViews(report: Report, databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const title = `views: median of ${RUNS}, in the server`;
  const rows: Row[] = [];
  try {
    await client.query(`set statement_timeout = ${LONGEST_MS}`);
    const { rows: some } = await client.query<{ org_id: string }>(
      'select org_id from losant_usage.organizations order by org_id offset 1000 limit 1',
    );
    const questions = questionsAbout(some[0]?.org_id ?? '');
    for (const name of ASKED) {
      rows.push({ question: name, ...(await timeQuestion(client, questions[name] ?? '')) });
      report.keep({ name: 'views', title, rows });
    }
  } finally {
    await client.end();
  }
  report.add({ name: 'views', title, rows });
}

interface Explained {
  readonly 'Execution Time': number;
  readonly 'Planning Time': number;
  readonly Plan: { readonly 'Actual Rows': number };
}

async function timeQuestion(client: pg.Client, question: string): Promise<Row> {
  const times: number[] = [];
  let rows = 0;
  try {
    for (let run = 0; run < RUNS; run += 1) {
      const explained = await client.query<{ 'QUERY PLAN': [Explained] }>(
        `explain (analyze, timing off, format json) ${question}`,
      );
      const plan = explained.rows[0]?.['QUERY PLAN'][0];
      times.push(Number(plan?.['Execution Time']) + Number(plan?.['Planning Time']));
      rows = Number(plan?.Plan['Actual Rows']);
    }
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== CANCELED) throw error;
    return { wallMs: null, rows: null, note: `over ${LONGEST_MS / 1_000} s` };
  }
  return { wallMs: median(times), rows };
}
