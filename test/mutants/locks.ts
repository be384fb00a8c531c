/** Defects in leases, the locks of writers, retries, and the settings of sessions. */
import { plant } from './mutant.ts';

export const lockMutants = [
  plant(
    { file: 'src/ledger/lease.ts', test: 'test/ledger/load.test.ts' },
    {
      'A process that has lost its lease loads nothing': [
        'if (lease && leases === 0) throw toLeaseLostError(lease.instanceId);',
        '',
      ],
      "A process does not mistake its successor's lease for its own: the epoch differs": [
        'and epoch = ${lease?.epoch ?? null}::bigint',
        'and ${lease?.epoch ?? null}::bigint is not null',
      ],
      "A run whose clock drifts from the database's loads nothing": [
        'if (Math.abs(aheadMs) <= DATABASE_SKEW_MAX_MS) return;',
        'if (Number.isFinite(aheadMs)) return;',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/lease.ts', test: 'test/ledger/runs.test.ts' },
    {
      'A lease that has not expired is not taken over': ['where l.expires_at <= ${CLOCK}', ''],
      'Whoever wants a lease does not wait for a holder whose lease has not expired': [
        'and k.expires_at > ${CLOCK})',
        'and false)',
      ],
      'A run renews its lease while a transaction of it is under way': ['for key share', 'for share'],
      'A lease whose holder is still writing is busy': ['if (isLockTimeout(error)) return null;', ''],
      'A lease that was taken over cannot be renewed': [
        `    .where('epoch', '=', epoch);
  const { numUpdatedRows }`,
        `;
  const { numUpdatedRows }`,
      ],
      "A process does not release its successor's lease": [
        `.where('instance_id', '=', instanceId).where('epoch', '=', epoch);`,
        `.where('instance_id', '=', instanceId);`,
      ],
      'The lease of a dead process is taken over within a minute': [
        'export const LEASE_MS = 60_000;',
        'export const LEASE_MS = 3_600_000;',
      ],
    },
  ),
  plant(
    { file: 'migrations/0002_organizations.sql', test: 'test/ledger/runs.test.ts', only: 'a lease' },
    {
      'A lease is not taken over while its holder writes': [
        'generated always as identity unique',
        'generated always as identity',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/lease.ts', test: 'test/billing/close.test.ts', only: 'without a deadlock' },
    {
      'A writer locks the ledger against a close before it writes': [
        'await sql`lock table losant_usage_internal.ledger_lock in share mode`.execute(trx);',
        '',
      ],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/billing/close.test.ts', only: 'at the second attempt' },
    {
      'A statement is on disk when close ends, whatever the default of the database': [
        `when 'off' then 'on' else`,
        `when 'off' then 'off' else`,
      ],
    },
  ),
  plant(
    { file: 'src/billing/close.ts', test: 'test/billing/close.test.ts', only: 'at the second attempt' },
    {
      'A close that ends in a deadlock is tried again': ['await retryTransaction(close)', 'await close()'],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/ledger/conflicts.test.ts' },
    {
      'A transaction may take as long as its statements': [`    transaction_timeout: '0',\n`, ''],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/database/connections.test.ts', only: 'loss of a connection' },
    {
      'A session that the server ended is reported with its reason': ['throw loss ?? error;', 'throw error;'],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/database/migrate-killed.test.ts', only: 'waits for a lock' },
    {
      'The statement of a killed process ends': [`    client_connection_check_interval: '5s',\n`, ''],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/database/connections.test.ts', only: 'rely on defaults' },
    {
      'A transaction sees what was committed while it waited': [
        `    default_transaction_isolation: 'read committed',\n`,
        '',
      ],
    },
  ),
  plant(
    { file: 'src/database/postgres.ts', test: 'test/database/connections.test.ts', only: 'silent' },
    {
      'A server that falls silent is given up': [
        'silenceMs: statementTimeoutMs + SILENCE_MARGIN_MS',
        'silenceMs: 2_000_000_000',
      ],
    },
  ),
  plant(
    { file: 'src/database/sqlstate.ts', test: 'test/ledger/conflicts.test.ts' },
    {
      'A deadlock is tried again': ['/^(40001|40P01)$/', '/^40001$/'],
      'A serialization failure is tried again': ['/^(40001|40P01)$/', '/^40P01$/'],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/lock-order.test.ts' },
    {
      'Whoever brings tracks in line with the settings locks their organizations': [
        '    await lockOrgs(trx, orgIds);\n    await endTracks(trx, sync);',
        '    await endTracks(trx, sync);',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/organizations.ts', test: 'test/ledger/lock-order.test.ts' },
    {
      'Organizations of a list are locked in the order of their keys': [
        'order by org_id for no key update',
        'order by org_id desc for no key update',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/coverage.ts', test: 'test/ledger/lock-order.test.ts' },
    {
      'Cells are locked in the order of their keys, so that two loads never deadlock': [
        '.sort(([a], [b]) => compareText(a, b))',
        '.sort(([a], [b]) => compareText(b, a))',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/organizations.ts', test: 'test/ledger/organizations.test.ts' },
    {
      'An organization that has moved is neither deleted nor counted as unlisted by its former instance': [
        'and instance_id = ${instanceId} and deleted_on is null',
        'and deleted_on is null',
      ],
    },
  ),
  plant(
    { file: 'src/ledger/expected.ts', test: 'test/ledger/conflicts.test.ts' },
    {
      'The cells of an organization that another instance takes over stay due': [
        'order by o.org_id for no key update`.execute(trx);\n    return await setCells',
        'order by o.org_id`.execute(trx);\n    return await setCells',
      ],
    },
  ),
].flat();
